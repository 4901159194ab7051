-- The UTC days that commits after a position brought records of a stream to. Grain: one day. Owner: quality.
SELECT DISTINCT e.day
FROM lake.events.{stream} AS e
WHERE e.day IS NOT NULL
    AND e.snapshot_id > coalesce((SELECT max(p.snapshot_id) FROM lake.events.position AS p WHERE p.position = $after), 0)
ORDER BY e.day
