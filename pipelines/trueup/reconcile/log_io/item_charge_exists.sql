-- Whether a charge of an item lies in a range of snapshots and buckets. Grain: one row if there is one, else none. Owner: reconcile.
-- {charges} stands for the charges of at least these snapshots.
SELECT 1
FROM {charges} e
WHERE e.item IS NOT NULL AND e.snapshot_id > ? AND e.snapshot_id <= ? AND e.bucket BETWEEN ? AND ?
LIMIT 1
