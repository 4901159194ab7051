-- One record of a stream, or one that was rejected, with the part of the unit it came in. Grain: one record. Owner: proof.
SELECT {columns}, c.source, c.stream, c.path, c.sha256, c.bytes, c.mapping, epoch_us(c.taken_at) AS taken_at_us
FROM lake.events.{table} AS e
JOIN lake.events.control AS c ON c.source_id = e.source_id
WHERE e.event_id = $event_id
QUALIFY row_number() OVER (
    PARTITION BY e.event_id ORDER BY abs(c.part_no - e.source_row // {part_records}), c.sequence_no, e.source_row
) = 1
