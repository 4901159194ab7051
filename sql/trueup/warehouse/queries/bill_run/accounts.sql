-- The accounts whose billing cycle begins on a given day, with the end of each period and whether the account was active in the
-- period. After a change of cycle a period is part of a whole cycle, by which sums are compared: `whole_days` are the first days of
-- the whole cycles of its subscriptions, and `whole_end_day` is the day after the last of them.
WITH spans AS MATERIALIZED (
    SELECT
        s.*, coalesce(s.last_day, DATE '9999-12-31') AS until_day, steps.cycle_number(CAST($cycle AS DATE), s.cycle_day) AS number,
        row_number() OVER (PARTITION BY s.subscriber ORDER BY s.first_day DESC) = 1 AS is_last
    FROM steps.account_span s
),
-- A subscription that has ceased keeps its last cycle, because it may still be charged.
members AS MATERIALIZED (
    SELECT
        s.account, s.subscriber, s.until_day >= CAST($cycle AS DATE) AS is_active,
        steps.cycle_begin_day(s.number, s.cycle_day) AS whole_day, steps.cycle_begin_day(s.number + 1, s.cycle_day) AS whole_end_day,
        least(steps.cycle_begin_day(s.number + 1, s.cycle_day), coalesce(s.cycle_until_day, DATE '9999-12-31')) AS end_day
    FROM spans s
    WHERE
        greatest(steps.cycle_begin_day(s.number, s.cycle_day), coalesce(s.cycle_from_day, DATE '0001-01-01')) = CAST($cycle AS DATE)
        AND s.first_day < steps.cycle_begin_day(s.number + 1, s.cycle_day) AND (s.is_last OR s.until_day >= CAST($cycle AS DATE))
)
SELECT
    m.account, max(m.end_day) AS end_day, bool_or(m.is_active) AS is_active, list(DISTINCT m.whole_day ORDER BY m.whole_day) AS whole_days,
    max(m.whole_end_day) AS whole_end_day
FROM members m
GROUP BY m.account
ORDER BY m.account NULLS LAST
