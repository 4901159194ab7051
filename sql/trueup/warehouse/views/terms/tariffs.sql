-- The tariff book by what is known now: prices past, present and announced, and what they are applied by.
-- Grain: one row per row of the book ever taken in. Owner: warehouse.
-- What supersedes what is decided by what a row prices and from when, not by its record key: each row may still price something.
SELECT
    t.item,                                       -- what the row says: a rate, band, holiday, allowance or exchange
    t.key_scope,                                  -- what record_key is unique within
    t.record_key,                                 -- the row's own identity
    t.tariff_code,                                -- the tariff it belongs to
    t.plan,                                       -- the plan it is for, as in subscriptions
    t.service,                                    -- the service it is for
    t.direction,                                  -- the direction it is for
    t.zone,                                       -- the zone it is for
    t.trunk,                                      -- the trunk it is for
    t.destination,                                -- the prefix of the peers it is for
    t.band,                                       -- the time band it is for, or makes
    t.valid_from,                                 -- from when it holds, UTC
    t.valid_to,                                   -- until when, exclusive, UTC; NULL: until further notice
    t.currency,                                   -- of its money
    steps.micros_as_money(t.setup_micros) AS setup, -- fee for each use
    steps.micros_as_money(t.price_micros) AS price, -- price of price_per units
    t.price_per,                                  -- so many units cost the price
    steps.micros_as_money(t.first_increment_micros) AS first_increment, -- units charged at least
    steps.micros_as_money(t.next_increment_micros) AS next_increment, -- units charged at a time after those
    steps.micros_as_money(t.minimum_micros) AS minimum, -- least charge
    steps.micros_as_money(t.tier_from_micros) AS tier_from, -- units from which on the price holds
    t.rounding,                                   -- how amounts are rounded
    t.decimals,                                   -- to so many decimals
    t.rounding_stage,                             -- when they are rounded
    steps.micros_as_money(t.tax_micros) AS tax,   -- rate of the tax, such as 0.19
    t.tax_included,                               -- whether the price has it in it
    t.unit,                                       -- s: time passes; anything else is a volume
    t.weekdays,                                   -- the days a band is on
    t.from_time,                                  -- when on those days it begins
    t.to_time,                                    -- and ends
    t.timezone,                                   -- of these times
    t.calendar,                                   -- the calendar of holidays
    t.name,                                       -- what the holiday or allowance is called
    t.services,                                   -- the services an allowance is for
    t.shared,                                     -- who shares it
    t.period,                                     -- how often it is given anew
    t.to_currency,                                -- the currency an exchange leads to
    steps.micros_as_money(t.units_micros) AS units, -- units an allowance gives
    lower(hex(t.event_id)) AS event_id,           -- its id in lower-case hex, for explain and verify
    t.source_id,                                  -- the source unit it came in, as in source_units
    p.position,                                   -- the position it came with
    p.committed_at AS known_at                    -- when that was, UTC
FROM lake.events.tariff t
JOIN lake.events.position p ON p.snapshot_id = t.snapshot_id
WHERE t.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
