-- Suggestions what to decide first: cases with the most undecided money, then findings in no case, by kind and service.
-- Grain: one row per case, or per kind and service of findings. Owner: workbench.
WITH loose AS (
    SELECT
        NULL AS case_id, f.kind, CAST(to_json([['service', f.service]]) AS VARCHAR) AS pattern, count(*) AS open_findings,
        sum(f.impact) AS open_impact, f.currency, 1.0 AS confidence
    FROM loose_findings f
    WHERE f.status = 'open' AND NOT f.provisional AND f.currency = $currency AND f.impact <> 0
    GROUP BY f.kind, f.service, f.currency
),
every AS (
    SELECT c.case_id, c.kind, c.pattern, c.open_findings, c.open_impact, c.currency, c.confidence
    FROM cases c
    WHERE c.status = 'open' AND c.type = 'root_cause' AND c.currency = $currency AND c.open_impact <> 0
    UNION ALL BY NAME
    FROM loose
)
FROM every e
ORDER BY e.case_id IS NULL, abs(e.open_impact) * e.confidence DESC, e.kind
LIMIT 6
