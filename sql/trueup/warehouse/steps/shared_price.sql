-- Services whose records share an allowance, or whose price depends on the volume of the period. The price of one record then
-- depends on the others.
-- Grain: one row per service and pool. Owner: warehouse.
WITH terms AS (
    SELECT
        t.item, t.services, t.service, coalesce(t.period, 'month') AS period, coalesce(steps.known_zone(t.timezone), 'UTC') AS timezone,
        coalesce(t.shared = 'account', FALSE) AS by_account, t.tier_from_micros
    FROM lake.events.tariff t
    WHERE t.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
)
SELECT DISTINCT
    a.services AS pool,                           -- the services of the pool, as the tariff book lists them
    trim(unnest(string_split(a.services, ','))) AS service, -- one service of the pool
    a.period,                                     -- day, week, month or cycle
    a.timezone,                                   -- time zone in which the period is counted
    a.by_account                                  -- whether all subscribers of an account draw on the pool
FROM terms a
WHERE a.item = 'allowance'
UNION
SELECT r.service, r.service, r.period, r.timezone, r.by_account
FROM terms r
WHERE r.item = 'rate' AND r.tier_from_micros > 0
