-- Day on which a numbered billing cycle begins. In a month without the cycle day, the cycle begins on the last day of the month.
-- Months are counted from year 0.
-- Owner: warehouse.
CREATE OR REPLACE MACRO steps.cycle_begin_day(number, cycle_day) AS make_date(
    CAST((number - 1) // 12 AS BIGINT), CAST((number - 1) % 12 + 1 AS BIGINT),
    least(CAST(cycle_day AS BIGINT), CAST(day(last_day(make_date(CAST((number - 1) // 12 AS BIGINT), CAST((number - 1) % 12 + 1 AS BIGINT), 1))) AS BIGINT))
);
