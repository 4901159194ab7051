-- Money that may be at stake because a feed is incomplete, by day: bounds, separate from proven money.
-- Grain: one row per feed, node, day, currency and kind. Owner: warehouse.
-- Counts findings that are open or confirmed. The bounds of one finding are a nominal 99 % interval; their sums are wider.
SELECT
    f.source,                                     -- the feed
    f.node,                                       -- '' where the finding is about the whole feed
    f.day,                                        -- day it began on, in the project's time zone
    f.currency,                                   -- of the bounds
    f.kind,                                       -- what is wrong
    count(*) AS findings,                         -- number of findings
    CAST(sum(f.records_low) AS BIGINT) AS records_low, -- least records concerned
    CAST(sum(f.records_high) AS BIGINT) AS records_high, -- most records concerned
    steps.micros_as_money(sum(f.impact_low_micros)) AS impact_low, -- least money at stake; NULL where it is unknown
    steps.micros_as_money(sum(f.impact_high_micros)) AS impact_high -- most money at stake; NULL where it is unknown
FROM steps.finding_now f
WHERE f.control IS NOT NULL AND f.source IS NOT NULL AND f.status IN ('open', 'confirmed')
GROUP BY f.source, f.node, f.day, f.currency, f.kind
ORDER BY f.day, f.source, f.node, f.kind
