-- The end of a source's chain of control rows: one row, or none for a new source. Owner: collect.
SELECT sequence_no, hash FROM lake.events.control WHERE source = $source ORDER BY sequence_no DESC LIMIT 1
