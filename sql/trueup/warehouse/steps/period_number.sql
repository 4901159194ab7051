-- Number of the period that contains an instant, counted on the wall clock of a zone from 1970, as the kernel counts it.
-- Owner: warehouse.
CREATE OR REPLACE MACRO steps.period_number(instant, period_us, zone) AS epoch_us(timezone(zone, instant)) // period_us;
