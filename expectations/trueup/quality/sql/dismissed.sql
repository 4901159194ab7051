-- Findings of which the last decision is dismissed. Grain: one finding. Owner: quality.
SELECT d.finding_id
FROM lake.events.decision AS d
WHERE list_contains($status_decisions, d.decision)
GROUP BY d.finding_id
HAVING arg_max(d.decision, d.snapshot_id) = 'dismissed'
