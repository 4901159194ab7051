-- The data files that hold rows of some commits of a table now, the first few. Grain: one file. Owner: proof.
SELECT DISTINCT e.filename
FROM lake.events.{table} e
WHERE e.snapshot_id BETWEEN ? AND ?
ORDER BY 1
LIMIT ?
