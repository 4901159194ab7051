-- Number of the period that contains an instant, in local time of a zone, as the kernel counts periods. Periods are calendar
-- months, weeks that begin on Monday, or spans of microseconds from 1970. Owner: warehouse.
CREATE OR REPLACE MACRO steps.period_number(instant, period, zone) AS CASE period
    WHEN 'month' THEN 12 * year(timezone(zone, instant)) + month(timezone(zone, instant))
    WHEN 'week' THEN (epoch_us(timezone(zone, instant)) // 86400000000 + 3) // 7
    ELSE epoch_us(timezone(zone, instant)) // TRY_CAST(period AS BIGINT)
END;
