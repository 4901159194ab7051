-- The tariff book as known now: past, present and announced prices, with the terms that apply them.
-- Grain: one row per ingested row of the book. Owner: warehouse.
-- A row supersedes another by the item it prices and its validity, not by its record key, so any row may still price something.
SELECT
    t.item,                                       -- kind of the row: rate, recurring, discount, …
    t.key_scope,                                  -- the scope within which record_key is unique
    t.record_key,                                 -- the row's own identity
    t.tariff_code,                                -- the tariff it belongs to
    t.plan,                                       -- the plan it is for, as in subscriptions
    t.service,                                    -- the service it is for
    t.direction,                                  -- the direction it is for
    t.zone,                                       -- the zone it is for
    t.trunk,                                      -- the trunk it is for
    t.destination,                                -- the prefix of the peers it is for
    t.band,                                       -- the time band it is for, or defines
    t.valid_from,                                 -- begin of its validity, UTC
    t.valid_to,                                   -- end of its validity, exclusive, UTC; NULL: until further notice
    t.currency,                                   -- of its money
    steps.micros_as_money(t.setup_micros) AS setup, -- fee for each use
    steps.micros_as_money(t.price_micros) AS price, -- price of price_per units
    t.price_per,                                  -- number of units that the price is for
    steps.micros_as_money(t.first_increment_micros) AS first_increment, -- units charged at least
    steps.micros_as_money(t.next_increment_micros) AS next_increment, -- size of the following increments, in units
    steps.micros_as_money(t.minimum_micros) AS minimum, -- least charge
    steps.micros_as_money(t.tier_from_micros) AS tier_from, -- units from which on the price applies
    t.rounding,                                   -- how amounts are rounded
    t.decimals,                                   -- number of decimals
    t.rounding_stage,                             -- the step at which they are rounded
    steps.micros_as_money(t.tax_micros) AS tax,   -- rate of the tax, such as 0.19
    t.tax_included,                               -- whether the price includes the tax
    t.unit,                                       -- s for durations; any other unit is a volume
    t.weekdays,                                   -- the days of the week of a band
    t.from_time,                                  -- begin of the band on these days
    t.to_time,                                    -- end of the band on these days
    t.timezone,                                   -- of these times
    t.calendar,                                   -- the calendar of holidays
    t.name,                                       -- name of the holiday, allowance, recurring or one-off item, or discount
    t.services,                                   -- the services an allowance is for
    t.shared,                                     -- the level at which it is shared
    t.period,                                     -- period of the allowance or recurring item
    t.to_currency,                                -- target currency of an exchange rate
    steps.micros_as_money(t.units_micros) AS units, -- units of an allowance
    t.origin,                                     -- the prefix of the subscribers it is for
    steps.micros_as_money(t.maximum_micros) AS maximum, -- greatest charge
    steps.micros_as_money(t.chargeable_from_micros) AS chargeable_from, -- least quantity that is charged
    steps.micros_as_money(t.free_first_micros) AS free_first, -- free quantity at the beginning of each record
    t.priced_at,                                  -- whose price holds: that of each increment, or of the start
    t.rated_as,                                   -- of a ported number: the number whose price calls to it have
    t.due,                                        -- of a recurring item: advance or arrears
    t.proration,                                  -- of a recurring item: day, none or 30
    t.suspended,                                  -- of a recurring item: charged or free while the subscription is suspended
    t.event,                                      -- of a one-off item: the event that it is charged for
    t.applies_to,                                 -- of a discount: the item that it lowers
    steps.micros_as_money(t.discount_micros) AS discount, -- of a discount: fraction of the price, such as 0.25
    t.months,                                     -- of a discount: how long it lasts; of a termination: the commitment
    t.slots,                                      -- later prices within a record: from: price/increment; …
    lower(hex(t.event_id)) AS event_id,           -- its id in lower-case hex, for explain and verify
    t.source_id,                                  -- its source unit, as in source_units
    p.position,                                   -- the position of its commit
    p.committed_at AS known_at                    -- when it was committed, UTC
FROM lake.events.tariff t
JOIN lake.events.position p ON p.snapshot_id = t.snapshot_id
WHERE t.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
