-- Last link of a source's chain of control rows, and whether the log has a part of a unit. Grain: one row. Owner: collect.
-- One scan answers both: with a file for each commit, planning a scan costs more than reading.
SELECT max(sequence_no), arg_max(hash, sequence_no), coalesce(bool_or(source_id = $source_id AND part_no = $part_no), false)
FROM lake.events.control
WHERE source = $source
