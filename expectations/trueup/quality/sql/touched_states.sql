-- How many rows of a stream of states came after a position. Owner: quality.
SELECT count(*)
FROM lake.events.{stream} AS e
WHERE e.snapshot_id > coalesce((SELECT max(p.snapshot_id) FROM lake.events.position AS p WHERE p.position = $after), 0)
