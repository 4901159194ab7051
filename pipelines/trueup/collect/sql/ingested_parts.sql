-- Parts that the log has of a source's units, with the records of each. Grain: one part. Owner: collect.
SELECT source_id, part_no, last_part, records
FROM lake.events.control
WHERE source = $source
ORDER BY source_id, part_no
