-- Number of records of one source by node, service, hour and commit, with the mean and spread of their record numbers. Grain: one
-- node, service, hour and commit. Owner: quality.
WITH records AS (
    SELECT
        coalesce(e.node, '') AS node, coalesce(e.service, '') AS service,
        epoch_us({own_time}) // 3600000000 * 3600000000 AS hour_us, e.snapshot_id, e.quantity_micros, e.subscriber, e.peer,
        try_cast(regexp_extract(e.record_key, $pattern, $group) AS BIGINT) AS number
    FROM lake.events.{stream} AS e
    WHERE starts_with(e.source_id, $source || '@') AND e.day >= $first_day
        AND e.snapshot_id <= $reached
)
SELECT
    '{stream}' AS stream, $source AS source, r.node, r.service, r.hour_us, r.snapshot_id AS at_snapshot, count(*) AS records,
    count(*) FILTER (WHERE r.quantity_micros = 0) AS zeros, count(*) - count(r.subscriber) AS no_subscriber,
    count(*) - count(r.peer) AS no_peer, count(r.number) AS numbered, avg(r.number) AS number_mean,
    stddev_pop(r.number) AS number_deviation
FROM records AS r
WHERE r.hour_us IS NOT NULL
GROUP BY r.node, r.service, r.hour_us, r.snapshot_id
