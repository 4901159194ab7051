-- Parts that the log has of the units of some sources, or of one unit, with the records of each. Grain: one part. Owner: collect.
SELECT source_id, part_no, last_part, records
FROM lake.events.control
WHERE source IN (SELECT unnest($sources)) AND ($source_id IS NULL OR source_id = $source_id)
ORDER BY source_id, part_no
