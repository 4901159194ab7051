-- The first few units of given commits. Grain: one unit. Owner: proof.
SELECT DISTINCT path || ' of ' || source AS unit
FROM lake.events.control
WHERE snapshot_id BETWEEN ? AND ?
ORDER BY 1
LIMIT ?
