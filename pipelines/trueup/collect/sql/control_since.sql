-- The parts that the control rows of a source name in a range of snapshots, and the last control row of the range.
-- Grain: one row. Owner: collect.
SELECT coalesce(list(c.source_id || '/' || c.part_no), []), max(c.sequence_no), arg_max(c.hash, c.sequence_no)
FROM {relation} AS c
WHERE c.source = ? AND c.snapshot_id > ? AND c.snapshot_id <= ?
