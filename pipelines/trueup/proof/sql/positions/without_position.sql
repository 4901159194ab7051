-- Rows of a table that were committed without a position. Grain: one commit. Owner: proof.
SELECT e.snapshot_id, count(*) AS rows
FROM lake.events.{table} AS e
WHERE e.snapshot_id NOT IN (SELECT p.snapshot_id FROM lake.events.position AS p)
GROUP BY e.snapshot_id
ORDER BY e.snapshot_id
