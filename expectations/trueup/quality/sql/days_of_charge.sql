-- Key figures of the days of a feed before a given day, as of a position. Grain: one UTC day. Owner: quality.
SELECT
    c.day, count(*) AS records,
    count(c.session_key) / count(*) AS share_of_session_key, count(c.subscriber) / count(*) AS share_of_subscriber,
    avg(c.amount_micros) AS mean_amount
FROM lake.events.charge AS c
WHERE c.day >= $first AND c.day < $before AND starts_with(c.source_id, $source || '@') AND c.snapshot_id <= $snapshot_id
GROUP BY c.day
ORDER BY c.day
