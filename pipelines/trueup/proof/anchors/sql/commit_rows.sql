-- Digests of all rows of one table, by commit in ascending order. Grain: one row of the table. Owner: proof.
SELECT
    e.snapshot_id,              -- the commit of the row
    unhex(sha256({form})) AS row_digest
FROM {relation} e
WHERE e.snapshot_id > ? AND e.snapshot_id <= ?
ORDER BY 1, 2
