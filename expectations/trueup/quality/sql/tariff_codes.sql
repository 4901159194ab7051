-- The codes of the tariff book, as of a position. Grain: one code. Owner: quality.
SELECT DISTINCT t.tariff_code
FROM lake.events.tariff AS t
WHERE t.tariff_code IS NOT NULL AND t.snapshot_id <= $snapshot_id
ORDER BY t.tariff_code
