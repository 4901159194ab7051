-- The units that have rejected records. Grain: one unit. Owner: collect.
SELECT DISTINCT c.source_id, c.source, c.stream, c.path, c.sha256, c.bytes
FROM lake.events.control AS c
WHERE c.part_no = 0 AND c.source_id IN (SELECT source_id FROM lake.events.quarantine)
ORDER BY c.source_id
