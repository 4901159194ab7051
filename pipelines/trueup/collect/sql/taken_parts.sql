-- Parts of a unit that the log has, with the records of each. Grain: one part. Owner: collect.
SELECT part_no, last_part, records FROM lake.events.control WHERE source_id = $source_id ORDER BY part_no
