-- The cases that can take the findings of a given case: root causes of the same kind and currency.
-- Grain: one row per case, those with the most undecided money first. Owner: workbench.
SELECT c.case_id, c.pattern, c.findings, c.impact, c.currency, c.status
FROM cases c
JOIN cases o ON o.case_id = $id AND o.kind = c.kind AND o.currency IS NOT DISTINCT FROM c.currency
WHERE c.type = 'root_cause' AND o.type = 'root_cause' AND c.status <> 'merged' AND c.case_id <> o.case_id
ORDER BY abs(c.open_impact) DESC, abs(c.impact) DESC, c.case_id
LIMIT 500
