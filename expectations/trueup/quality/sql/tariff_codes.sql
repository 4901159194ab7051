-- The codes of the tariff book. Owner: quality.
SELECT DISTINCT t.tariff_code FROM lake.events.tariff AS t WHERE t.tariff_code IS NOT NULL ORDER BY t.tariff_code
