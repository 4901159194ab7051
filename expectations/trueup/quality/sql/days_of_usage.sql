-- Key figures of the days of a feed before a given day, as of a position. Grain: one UTC day. Owner: quality.
SELECT
    u.day, count(*) AS records,
    count(u.subscriber) / count(*) AS share_of_subscriber, count(u.peer) / count(*) AS share_of_peer,
    avg(u.quantity_micros) AS mean_quantity
FROM lake.events.usage AS u
WHERE u.day >= $first AND u.day < $before AND starts_with(u.source_id, $source || '@') AND u.snapshot_id <= $snapshot_id
GROUP BY u.day
ORDER BY u.day
