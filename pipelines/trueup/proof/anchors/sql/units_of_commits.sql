-- The units that came with some commits, the first few. Grain: one unit. Owner: proof.
SELECT DISTINCT path || ' of ' || source AS unit
FROM lake.events.control
WHERE snapshot_id BETWEEN ? AND ?
ORDER BY 1
LIMIT ?
