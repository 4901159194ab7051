-- The tariff book as known now: past, present and announced prices, with the terms that apply them.
-- Grain: one row per ingested row of the book. Owner: warehouse.
-- A row supersedes another by the item that it prices and by its validity, not by its record key. So any row may still price a
-- record.
SELECT
    t.item,                                       -- kind of the row: rate, recurring, discount, …
    t.key_scope,                                  -- the scope within which record_key is unique
    t.record_key,                                 -- the row's own identity
    t.tariff_code,                                -- the tariff of the row
    t.plan,                                       -- the plan that the row applies to, as in subscriptions
    t.service,                                    -- the service that the row applies to
    t.direction,                                  -- the direction that the row applies to
    t.zone,                                       -- the zone that the row applies to
    t.trunk,                                      -- the trunk that the row applies to
    t.destination,                                -- the prefix of the peers that the row applies to
    t.band,                                       -- the time band that the row applies to, or defines
    t.valid_from,                                 -- begin of the validity, UTC
    t.valid_to,                                   -- end of the validity, exclusive, UTC; NULL: until further notice
    t.currency,                                   -- currency of the prices
    steps.micros_as_money(t.setup_micros) AS setup, -- fee for each use
    steps.micros_as_money(t.price_micros) AS price, -- price of price_per units
    t.price_per,                                  -- number of units that the price is for
    steps.micros_as_money(t.first_increment_micros) AS first_increment, -- least number of units charged
    steps.micros_as_money(t.next_increment_micros) AS next_increment, -- size of the following increments, in units
    steps.micros_as_money(t.minimum_micros) AS minimum, -- least price of one record
    steps.micros_as_money(t.tier_from_micros) AS tier_from, -- units from which on the price applies
    t.rounding,                                   -- how amounts are rounded
    t.decimals,                                   -- number of decimals to which amounts are rounded
    t.rounding_stage,                             -- the step at which amounts are rounded
    steps.micros_as_money(t.tax_micros) AS tax,   -- rate of the tax, such as 0.19
    t.tax_included,                               -- whether the price includes the tax
    t.unit,                                       -- s for durations; any other unit is a volume
    t.weekdays,                                   -- the days of the week of a band
    t.from_time,                                  -- begin of the band on these days
    t.to_time,                                    -- end of the band on these days
    t.timezone,                                   -- time zone of the band
    t.calendar,                                   -- the calendar of holidays
    t.name,                                       -- name of the holiday, allowance, recurring or one-off item, or discount
    t.services,                                   -- the services that an allowance applies to
    t.shared,                                     -- the level at which the allowance is shared
    t.period,                                     -- period of the allowance or recurring item
    t.to_currency,                                -- target currency of an exchange rate
    steps.micros_as_money(t.units_micros) AS units, -- units of an allowance
    t.origin,                                     -- the prefix of the subscribers that the row applies to
    steps.micros_as_money(t.maximum_micros) AS maximum, -- greatest price of one record
    steps.micros_as_money(t.chargeable_from_micros) AS chargeable_from, -- least quantity that is charged
    steps.micros_as_money(t.free_first_micros) AS free_first, -- free quantity at the beginning of each record
    t.priced_at,                                  -- increment: each increment has the price in force at its time; start: the price at the start of the record
    t.rated_as,                                   -- of a ported number: the number whose price applies to calls to the ported number
    t.due,                                        -- of a recurring item: whether it is due in advance or in arrears
    t.proration,                                  -- of a recurring item: how part of a period is charged: day, none or 30
    t.suspended,                                  -- of a recurring item: whether it is charged or free while the subscription is suspended
    t.event,                                      -- of a one-off item: the event that is charged
    t.applies_to,                                 -- of a discount: the item that the discount lowers
    steps.micros_as_money(t.discount_micros) AS discount, -- of a discount: fraction of the price, such as 0.25
    t.months,                                     -- of a discount: its duration in months; of a termination fee: the months of the commitment
    t.slots,                                      -- later prices within a record: from: price/increment; …
    lower(hex(t.event_id)) AS event_id,           -- id in lower-case hex, for explain and verify
    t.source_id,                                  -- source unit of the record, as in source_units
    p.position,                                   -- the position of the commit
    p.committed_at AS known_at                    -- when the record was committed, UTC
FROM lake.events.tariff t
JOIN lake.events.position p ON p.snapshot_id = t.snapshot_id
WHERE t.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
