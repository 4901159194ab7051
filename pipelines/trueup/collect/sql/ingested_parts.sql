-- Ingested parts of the units of some sources, with the records of each part and the path of the unit. Grain: one part. Owner: collect.
SELECT source_id, part_no, last_part, records, path
FROM lake.events.control
WHERE source IN (SELECT unnest($sources))
ORDER BY source_id, part_no
