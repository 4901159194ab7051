-- One accepted or rejected record, with its part of the unit. Grain: one record. Owner: proof.
WITH parts AS (
    SELECT
        c.*, c.snapshot_id,
        coalesce(
            sum(c.records) OVER (PARTITION BY c.source_id ORDER BY c.part_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS first_row
    FROM lake.events.control AS c
)
SELECT {columns}, c.source, c.stream, c.path, c.sha256, c.bytes, c.mapping, epoch_us(c.taken_at) AS taken_at_us
FROM lake.events.{table} AS e
JOIN parts AS c ON c.source_id = e.source_id
WHERE e.event_id = $event_id
QUALIFY row_number() OVER (
    PARTITION BY e.event_id
    ORDER BY c.recycles IS NOT NULL AND e.snapshot_id = c.snapshot_id DESC, e.source_row >= c.first_row AND e.source_row < c.first_row + c.records DESC NULLS LAST, c.sequence_no, e.source_row
) = 1
