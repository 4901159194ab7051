-- Money that no final result covers yet, the greatest amount first.
-- Grain: one row per currency. Reads views or the tables of a published file.
SELECT
    c.currency,                                   -- currency of the amounts
    CAST(sum(greatest(c.pending_micros, 0)) AS DECIMAL(32, 0)) * CAST(0.000001 AS DECIMAL(6, 6)) AS usage, -- pending money of services and days on which usage waits for charges
    CAST(sum(greatest(-c.pending_micros, 0)) AS DECIMAL(32, 0)) * CAST(0.000001 AS DECIMAL(6, 6)) AS charges, -- pending money of services and days on which charges wait for usage
    min(c.day) AS first_day                       -- first day concerned
FROM main.conservation c
WHERE c.pending_micros <> 0
GROUP BY c.currency
ORDER BY sum(abs(c.pending_micros)) DESC, c.currency
