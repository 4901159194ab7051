-- The records of one stream in a range of buckets, up to a snapshot. Grain: one row per accepted record. Owner: reconcile.
-- {stream}, {columns} and {time} are replaced by the table, the columns that the kernel reads and the record's own time, {scope} by
-- its bucket key. {of_usage} leaves out charges of items, which no usage explains. Positions are added to the result, because a
-- join here would read the table of positions with each query.
SELECT {columns}, e.snapshot_id AS at_snapshot, {time} AS own_time, {scope} AS scope
FROM lake.events.{stream} e
WHERE {of_usage} AND e.snapshot_id <= $upto_snapshot AND e.bucket BETWEEN $first_bucket AND $last_bucket
