-- The records of one stream in a range of buckets, up to a position. Grain: one row per accepted record. Owner: reconcile.
-- {stream}, {columns} and {time} stand for the table, its columns that the kernel reads and the record's own time.
SELECT {columns}, p.position, {time} AS own_time, {scope} AS scope
FROM lake.events.{stream} e
JOIN lake.events.position p ON p.snapshot_id = e.snapshot_id
WHERE e.snapshot_id <= $upto_snapshot AND e.bucket BETWEEN $first_bucket AND $last_bucket
