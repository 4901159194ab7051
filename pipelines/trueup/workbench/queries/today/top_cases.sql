-- The open cases with the most undecided money.
-- Grain: one row per case. Owner: workbench.
SELECT c.case_id, c.type, c.kind, c.pattern, c.open_findings, c.open_impact, c.currency, c.confidence, c.owner
FROM cases c
WHERE c.status = 'open' AND c.type = 'root_cause' AND c.currency = $currency AND c.open_impact <> 0
ORDER BY c.rank
LIMIT 6
