-- Number of records of each feed by day, the usual number, and the worst open finding about the day.
-- Grain: one row per feed and day. Owner: workbench.
WITH by_day AS (
    SELECT
        q.source, CAST(timezone($zone, q.hour) AS DATE) AS day, sum(q.records) AS records, max(q.findings) AS findings,
        arg_max(q.kind, q.findings) AS kind, arg_max_null(q.reason, q.findings) AS reason
    FROM feed_quality q
    GROUP BY ALL
)
SELECT
    d.source,                                     -- name of the feed
    d.day,                                        -- day in the project's time zone
    CAST(d.records AS BIGINT) AS records,         -- accepted records of the day
    CAST(d.findings AS BIGINT) AS findings,       -- number of open findings about the hour of the day with the most findings
    d.kind,                                       -- kind of the worst of these findings
    d.reason,                                     -- reason of the worst of these findings
    quantile_cont(d.records, 0.75) OVER (PARTITION BY d.source) AS usual -- records of a busy day of the feed: three days in four have fewer
FROM by_day d
QUALIFY d.day BETWEEN $from_day AND $to_day
ORDER BY d.source, d.day
