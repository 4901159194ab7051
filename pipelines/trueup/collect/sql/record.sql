-- Where one record of a stream, or one that was rejected, came from. Grain: one record. Owner: collect.
SELECT e.source_id, e.source_row, e.source_offset, e.source_length, c.source, c.stream, c.path, c.sha256, c.bytes, epoch_us(c.taken_at) AS taken_at_us
FROM lake.events.{table} AS e
JOIN (
    SELECT source_id, source, stream, path, sha256, bytes, taken_at
    FROM lake.events.control
    QUALIFY row_number() OVER (PARTITION BY source_id ORDER BY part_no) = 1
) AS c ON c.source_id = e.source_id
WHERE e.event_id = $event_id
