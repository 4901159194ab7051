-- All control rows by source, along their chain; times in microseconds. Grain: one part of a unit. Owner: proof.
SELECT
    * REPLACE (
        epoch_us(first_time) AS first_time, epoch_us(last_time) AS last_time,
        epoch_us(last_started_at) AS last_started_at, epoch_us(taken_at) AS taken_at
    )
FROM lake.events.control
ORDER BY source, sequence_no
