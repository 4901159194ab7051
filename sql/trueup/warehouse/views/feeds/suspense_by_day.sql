-- Usage and charges in quarantine by day: their number and money, and whether they make the day provisional.
-- Grain: one row per feed, stream, service and day. Owner: warehouse.
-- A record counts on its day; one without a readable time counts on every day of its unit.
SELECT
    d.source,                                     -- the feed
    d.stream,                                     -- usage or charge
    d.service,                                    -- '' where it is not readable
    d.day,                                        -- in the project's time zone
    d.records,                                    -- records in quarantine that no recycling has mapped again
    d.keyless_records,                            -- those without a key by which they could be matched
    d.keyless_records / d.unit_records AS keyless_share, -- of the records of their units, 0 to 1
    steps.micros_as_money(d.amount_micros) AS amount, -- readable amounts of charges; NULL without any
    d.unread_amounts,                             -- charges whose amount is not readable: money beyond `amount`
    d.is_incomplete                               -- whether keyless_share exceeds quarantine_share, so that findings of the day that lack this stream are provisional
FROM steps.suspense_day d
ORDER BY d.day, d.source, d.service
