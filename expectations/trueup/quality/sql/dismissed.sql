-- Findings of feeds that somebody has looked at and dismissed: the last decision counts. Grain: one finding. Owner: quality.
SELECT d.finding_id
FROM lake.events.decision AS d
GROUP BY d.finding_id
HAVING arg_max(d.decision, d.snapshot_id) = 'dismissed'
