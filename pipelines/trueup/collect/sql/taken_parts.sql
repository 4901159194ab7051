-- The parts of a unit that are in the log. Owner: collect.
SELECT part_no, last_part FROM lake.events.control WHERE source_id = $source_id ORDER BY part_no
