-- Number and money of usage and charges in quarantine by day, and whether they make the findings of the day provisional.
-- Grain: one row per feed, stream, service and day. Owner: warehouse.
-- A record counts on its day. A record without a readable time counts on every day of its unit.
SELECT
    d.source,                                     -- name of the feed
    d.stream,                                     -- usage or charge
    d.service,                                    -- service of the records; '' where it is not readable
    d.day,                                        -- day in the project's time zone
    d.records,                                    -- number of records in quarantine that no recycling has mapped again
    d.keyless_records,                            -- number of records without a key by which they could be matched
    d.keyless_records / d.unit_records AS keyless_share, -- keyless_records / records of the units with these records, 0 to 1
    steps.micros_as_money(d.amount_micros) AS amount, -- sum of the readable amounts of charges; NULL without any
    d.unread_amounts,                             -- number of charges whose amount is not readable: their money comes on top of `amount`
    d.is_incomplete                               -- whether keyless_share exceeds quarantine_share; findings of the day that lack this stream are then provisional
FROM steps.suspense_day d
ORDER BY d.day, d.source, d.service
