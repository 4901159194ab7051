-- Number of the billing cycle that contains a day, as the kernel counts cycles: the number of the month in which the cycle begins.
-- Owner: warehouse.
CREATE OR REPLACE MACRO steps.cycle_number(a_day, cycle_day) AS
    12 * year(a_day) + month(a_day) - CAST(a_day < steps.cycle_begin_day(12 * year(a_day) + month(a_day), cycle_day) AS BIGINT);
