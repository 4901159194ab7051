-- Expected - billed = impact + tolerated + pending, exactly, per service, day and currency.
-- A row: a place where it is not.
SELECT c.* FROM main.conservation c WHERE c.difference_micros IS DISTINCT FROM 0
