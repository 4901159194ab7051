-- The findings of one case, largest first.
-- Grain: one row per finding. Owner: workbench.
SELECT
    f.finding_id, f.finding_id AS key, f.kind, f.status, f.service, f.subscriber, f.peer, f.node, f.day, f.started_at, f.expected,
    f.billed, f.impact, f.currency, f.reason, f.provisional
FROM findings f
WHERE f.case_id = $id
ORDER BY abs(f.impact) DESC, f.day, f.finding_id
LIMIT $most
