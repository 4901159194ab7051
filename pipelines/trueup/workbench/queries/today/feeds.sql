-- Records of each feed by day, compared with its usual day, and the worst open finding about that day.
-- Grain: one row per feed and day. Owner: workbench.
WITH by_day AS (
    SELECT
        q.source, CAST(timezone($zone, q.hour) AS DATE) AS day, sum(q.records) AS records, max(q.findings) AS findings,
        arg_max(q.kind, q.findings) AS kind, arg_max(q.reason, q.findings) AS reason
    FROM feed_quality q
    GROUP BY ALL
)
SELECT
    d.source,                                     -- the feed
    d.day,                                        -- in the project's time zone
    CAST(d.records AS BIGINT) AS records,         -- accepted records of the day
    CAST(d.findings AS BIGINT) AS findings,       -- open findings about an hour of it, at most
    d.kind,                                       -- of the worst of them
    d.reason,                                     -- of the worst of them
    quantile_cont(d.records, 0.75) OVER (PARTITION BY d.source) AS usual -- a busy day of the feed: three days in four have fewer
FROM by_day d
QUALIFY d.day BETWEEN $from_day AND $to_day
ORDER BY d.source, d.day
