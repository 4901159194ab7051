-- The parts of a unit that are in the log, and how many records each has. Owner: collect.
SELECT part_no, last_part, records FROM lake.events.control WHERE source_id = $source_id ORDER BY part_no
