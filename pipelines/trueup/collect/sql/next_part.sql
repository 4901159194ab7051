-- Number of the next part of a unit of records mapped again. Grain: one row. Owner: collect.
SELECT coalesce(max(c.part_no) + 1, 0) FROM lake.events.control AS c WHERE c.source_id = $source_id
