-- The first few present data files with rows of the given commits of a table. Grain: one file. Owner: proof.
SELECT DISTINCT e.filename
FROM lake.events.{table} e
WHERE e.snapshot_id BETWEEN ? AND ?
ORDER BY 1
LIMIT ?
