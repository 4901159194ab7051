-- Whether a charge of an item lies in a range of snapshots and buckets. Grain: one row if there is one, else none. Owner: reconcile.
-- {charges} is replaced by the charges committed from the first of these snapshots on.
SELECT 1
FROM {charges} e
WHERE e.item IS NOT NULL AND e.snapshot_id > ? AND e.snapshot_id <= ? AND e.bucket BETWEEN ? AND ?
LIMIT 1
