-- Source units of records, part by part, each with the position of the part. Grain: one part. Owner: quality.
SELECT
    c.stream, c.source, c.source_id AS unit, c.path, c.declared_records AS declared, c.records, c.accepted, c.duplicate, c.sums,
    coalesce(c.filtered, 0) AS filtered, epoch_us(c.first_time) AS first_us, epoch_us(c.last_time) AS last_us, epoch_us(c.last_started_at) AS observed_us, p.position
FROM lake.events.control AS c
JOIN lake.events.position AS p ON p.snapshot_id = c.snapshot_id
WHERE c.stream IN ('usage', 'charge') AND p.position <= $upto
