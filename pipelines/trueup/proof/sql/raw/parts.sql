-- All parts of all units in the order of the log; times in microseconds. Grain: one part of a unit. Owner: proof.
SELECT c.source_id, c.source, c.stream, c.path, c.sha256, c.bytes, c.part_no, c.records,
    c.accepted, c.duplicate, coalesce(c.filtered, 0) AS filtered, c.quarantined, c.lost_digits,
    epoch_us(c.first_time) AS first_time, epoch_us(c.last_time) AS last_time, epoch_us(c.last_started_at) AS last_started_at,
    epoch_us(c.taken_at) AS taken_at_us, c.mapping, c.declared_records, c.recycles, c.sums, c.last_part
FROM lake.events.control AS c
ORDER BY c.snapshot_id, c.source_id, c.part_no
