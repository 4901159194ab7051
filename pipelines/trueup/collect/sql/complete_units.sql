-- Units of a source that the log has in full: the last part and all parts before it. Grain: one unit. Owner: collect.
SELECT source_id
FROM lake.events.control
WHERE source = $source
GROUP BY source_id
HAVING count(DISTINCT part_no) = max(part_no) FILTER (last_part) + 1 AND max(part_no) = max(part_no) FILTER (last_part)
