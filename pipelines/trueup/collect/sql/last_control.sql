-- Last link of a source's chain of control rows. Grain: one row, none for a new source. Owner: collect.
SELECT sequence_no, hash FROM lake.events.control WHERE source = $source ORDER BY sequence_no DESC LIMIT 1
