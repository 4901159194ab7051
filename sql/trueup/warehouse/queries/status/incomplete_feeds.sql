-- Feeds that are not complete, those with the most money at stake first.
-- Grain: one row per feed, kind and currency. Reads views or the tables of a published file.
SELECT
    e.source,                                     -- name of the feed
    e.kind,                                       -- kind of the finding
    e.currency,                                   -- currency of the bounds
    CAST(sum(e.findings) AS BIGINT) AS findings,  -- number of findings
    min(e.day) AS first_day,                      -- first day concerned
    max(e.day) AS last_day,                       -- last day on which a finding begins
    CAST(sum(e.records_low) AS BIGINT) AS records_low, -- least number of records concerned; NULL where it is unknown
    CAST(sum(e.records_high) AS BIGINT) AS records_high, -- greatest number of records concerned; NULL where it is unknown
    sum(e.impact_low) AS impact_low,              -- least money at stake; NULL where it is unknown
    sum(e.impact_high) AS impact_high             -- most money at stake; NULL where it is unknown
FROM main.exposure_by_day e
GROUP BY e.source, e.kind, e.currency
ORDER BY sum(e.impact_high) DESC NULLS LAST, e.source, e.kind, e.currency
