-- Charges of recurring and one-off items in a range of buckets, up to a snapshot. Grain: one row per accepted charge. Owner: reconcile.
-- {columns} is replaced by the columns to read. Without $everyone only charges of the subscriptions in `subscribers` are read.
-- `subscribers` is materialized: DuckDB would otherwise push join filters into the frame, which cannot filter its strings.
WITH wanted AS MATERIALIZED (SELECT * FROM subscribers)
SELECT {columns}, e.snapshot_id AS at_snapshot
FROM lake.events.charge e
WHERE e.item IS NOT NULL AND e.snapshot_id <= $upto_snapshot AND e.bucket BETWEEN $first_bucket AND $last_bucket
  AND ($everyone OR EXISTS (SELECT 1 FROM wanted s WHERE s.subscriber = e.subscriber))
