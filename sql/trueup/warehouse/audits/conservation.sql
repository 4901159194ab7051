-- Expected - billed = impact + tolerated + pending, exactly, per service, day and currency.
-- A row: a service, day and currency where the sums differ.
SELECT c.* FROM main.conservation c WHERE c.difference_micros IS DISTINCT FROM 0
