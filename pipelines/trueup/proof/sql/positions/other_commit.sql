-- Rows of a unit in a table that were committed separately from the unit's control rows. Grain: one unit and commit. Owner: proof.
SELECT e.source_id, e.snapshot_id, count(*) AS rows
FROM lake.events.{table} AS e
WHERE e.source_id IN (SELECT c.source_id FROM lake.events.control AS c)
GROUP BY e.source_id, e.snapshot_id
HAVING NOT EXISTS (FROM lake.events.control AS c WHERE c.source_id = e.source_id AND c.snapshot_id = e.snapshot_id)
ORDER BY e.source_id, e.snapshot_id
