-- Every change of every finding up to the position asked for, as the kernel stored it.
-- Grain: one row per finding and position. Owner: warehouse.
SELECT
    f.finding_id,                                 -- 16 bytes, a hash of kind and subject
    f.position,                                   -- the position it changed at
    f.action,                                     -- raised, revised, resolved or retracted
    f.action IN ('raised', 'revised') AS stands,  -- whether the finding is open after this change
    f.cause,                                      -- why it changed
    f.kind,                                       -- what is wrong
    coalesce(f.service, '') AS service,           -- '' for charges without a service
    f.subscriber,                                 -- of the first record
    f.peer,                                       -- of the first record
    f.node,                                       -- of the first record
    f.day,                                        -- day in the project's time zone; NULL where no record has a time
    f.started_at,                                 -- time of the first record
    f.expected_micros,                            -- what should have been billed
    f.billed_micros,                              -- what was billed
    f.expected_micros - f.billed_micros AS impact_micros, -- positive: leakage, negative: overcharge
    f.currency,                                   -- of all three amounts
    f.usage_event_ids,                            -- usage members, ascending
    f.charge_event_ids,                           -- charge members, ascending
    f.content_event_ids,                          -- of a conflict: all delivered contents
    f.reason,                                     -- why it is misrated or unrated; of a plan mismatch, the two plans
    f.ended_at,                                   -- when two systems agreed again on a subscription; of a feed, the end
    f.stream,                                     -- stream of the incomplete feed; NULL for findings of reconciliation, like the columns below up to impact_high_micros
    f.source,                                     -- the feed
    f.control,                                    -- the control that raised it
    f.records_low,                                -- least records concerned
    f.records_high,                               -- most records concerned
    f.impact_low_micros,                          -- least money at stake
    f.impact_high_micros,                         -- most money at stake
    f.booking_id,                                 -- the booking it is part of; NULL in old lakes, for conflicts and for feeds
    f.whole_expected_micros,                      -- expected money of all parts of the booking after this change
    f.whole_billed_micros,                        -- billed money of all parts of the booking
    f.whole_tolerated_micros,                     -- the part of their difference within tolerance
    f.item,                                       -- the recurring or one-off item that it is about; NULL of other findings, as below
    f.period_from,                                -- the beginning of the item's period, or its event
    f.period_to,                                  -- the end of the item's period, exclusive; NULL of an event
    f.snapshot_id AS snapshot                     -- the commit that stored it
FROM lake.events.finding f
WHERE f.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
