-- The records of one stream in a range of buckets, up to a snapshot. Grain: one row per accepted record. Owner: reconcile.
-- {stream}, {columns} and {time} stand for the table, its columns that the kernel reads and the record's own time. Positions are
-- told to what is found: that table would else be read with each question.
SELECT {columns}, e.snapshot_id AS at_snapshot, {time} AS own_time, {scope} AS scope
FROM lake.events.{stream} e
WHERE e.snapshot_id <= $upto_snapshot AND e.bucket BETWEEN $first_bucket AND $last_bucket
