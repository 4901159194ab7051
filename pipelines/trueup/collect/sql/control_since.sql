-- Parts of a source's units in the control rows of a range of snapshots, and the last of these rows in the source's chain.
-- Grain: one row. Owner: collect.
SELECT coalesce(list(c.source_id || '/' || c.part_no), []), max(c.sequence_no), arg_max(c.hash, c.sequence_no)
FROM {relation} AS c
WHERE c.source = ? AND c.snapshot_id > ? AND c.snapshot_id <= ?
