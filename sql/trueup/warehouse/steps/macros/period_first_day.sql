-- First day of a period, from its number by steps.period_number. Owner: warehouse.
CREATE OR REPLACE MACRO steps.period_first_day(number, period) AS CASE period
    WHEN 'month' THEN make_date((number - 1) // 12, (number - 1) % 12 + 1, 1)
    WHEN 'week' THEN DATE '1970-01-01' + CAST(7 * number - 3 AS INTEGER)
    ELSE DATE '1970-01-01' + CAST(number * TRY_CAST(period AS BIGINT) // 86400000000 AS INTEGER)
END;
