-- Every change of every finding up to the requested position, as the kernel stored it.
-- Grain: one row per finding and position. Owner: warehouse.
SELECT
    f.finding_id,                                 -- 16 bytes, a hash of kind and subject
    f.position,                                   -- the position at which the finding changed
    f.action,                                     -- raised, revised, resolved or retracted
    f.action IN ('raised', 'revised') AS stands,  -- whether the finding is open after this change
    f.cause,                                      -- cause of the change
    f.kind,                                       -- kind of the finding
    coalesce(f.service, '') AS service,           -- '' for charges without a service
    f.subscriber,                                 -- subscriber of the first record
    f.peer,                                       -- peer of the first record
    f.node,                                       -- node of the first record
    f.day,                                        -- day of the money in the project's time zone; NULL where no record has a time
    f.started_at,                                 -- time of the first record
    f.expected_micros,                            -- money that should have been billed
    f.billed_micros,                              -- money that was billed
    f.expected_micros - f.billed_micros AS impact_micros, -- positive: leakage, negative: overcharge
    f.currency,                                   -- currency of all three amounts
    f.usage_event_ids,                            -- ids of the usage records, ascending
    f.charge_event_ids,                           -- ids of the charges, ascending
    f.content_event_ids,                          -- of a conflict: ids of all delivered contents
    f.reason,                                     -- reason why the finding is misrated or unrated; of a plan mismatch, the two plans
    f.ended_at,                                   -- when two systems agreed again on a subscription; of a feed, the end of the affected time
    f.stream,                                     -- stream of the incomplete feed; NULL for findings of reconciliation, as are the columns below up to impact_high_micros
    f.source,                                     -- name of the feed
    f.control,                                    -- the control that raised the finding
    f.records_low,                                -- least number of records concerned
    f.records_high,                               -- greatest number of records concerned
    f.impact_low_micros,                          -- least money at stake
    f.impact_high_micros,                         -- most money at stake
    f.booking_id,                                 -- the booking of the finding; NULL in old lakes, for conflicts and for feeds
    f.whole_expected_micros,                      -- expected money of all parts of the booking after this change
    f.whole_billed_micros,                        -- billed money of all parts of the booking
    f.whole_tolerated_micros,                     -- the part of expected - billed that is within tolerance
    f.item,                                       -- the recurring or one-off item that the finding is about; NULL for other findings, as are the columns below
    f.period_from,                                -- begin of the item's period, or the time of its event
    f.period_to,                                  -- end of the item's period, exclusive; NULL for an event
    f.snapshot_id AS snapshot                     -- the commit that stored the change
FROM lake.events.finding f
WHERE f.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
