-- The rejected records of one unit, in its order. Grain: one record. Owner: collect.
SELECT event_id, source_row, source_offset, source_length, raw
FROM lake.events.quarantine
WHERE source_id = $source_id
ORDER BY source_offset, source_row
