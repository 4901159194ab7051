-- Bounds of the money at stake because a feed is incomplete, by day. Proven money is not included.
-- Grain: one row per feed, node, day, currency and kind. Owner: warehouse.
-- Open and confirmed findings count. The bounds of one finding are a nominal 99 % interval, and the bounds of their sums are wider.
SELECT
    f.source,                                     -- name of the feed
    f.node,                                       -- network node; '' where the finding is about the whole feed
    f.day,                                        -- day on which the finding begins, in the project's time zone
    f.currency,                                   -- currency of the bounds
    f.kind,                                       -- kind of the finding
    count(*) AS findings,                         -- number of findings
    CAST(sum(f.records_low) AS BIGINT) AS records_low, -- least number of records concerned
    CAST(sum(f.records_high) AS BIGINT) AS records_high, -- greatest number of records concerned
    steps.micros_as_money(sum(f.impact_low_micros)) AS impact_low, -- least money at stake; NULL where it is unknown
    steps.micros_as_money(sum(f.impact_high_micros)) AS impact_high -- most money at stake; NULL where it is unknown
FROM steps.finding_now f
WHERE f.control IS NOT NULL AND f.source IS NOT NULL AND f.status IN ('open', 'confirmed')
GROUP BY f.source, f.node, f.day, f.currency, f.kind
ORDER BY f.day, f.source, f.node, f.kind
