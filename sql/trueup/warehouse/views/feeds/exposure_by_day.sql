-- Money that may be at stake because a feed is not whole, by day: bounds, kept apart from what is proven.
-- Grain: one row per feed, node, day, currency and kind. Owner: warehouse.
-- Counts findings that are open or confirmed. Bounds of single findings are nominal 99 % intervals; added up they are wider.
SELECT
    f.source,                                     -- the feed
    f.node,                                       -- '' where it is about the whole feed
    f.day,                                        -- it began on, in the project's time zone
    f.currency,                                   -- of the bounds
    f.kind,                                       -- what is wrong
    count(*) AS findings,                         -- how many
    CAST(sum(f.records_low) AS BIGINT) AS records_low, -- least records concerned
    CAST(sum(f.records_high) AS BIGINT) AS records_high, -- most records concerned
    steps.micros_as_money(sum(f.impact_low_micros)) AS impact_low, -- least money at stake; NULL where nothing tells
    steps.micros_as_money(sum(f.impact_high_micros)) AS impact_high -- most money at stake; NULL where nothing tells
FROM steps.finding_now f
WHERE f.control IS NOT NULL AND f.source IS NOT NULL AND f.status IN ('open', 'confirmed')
GROUP BY f.source, f.node, f.day, f.currency, f.kind
ORDER BY f.day, f.source, f.node, f.kind
