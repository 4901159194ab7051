-- Leakage and overcharge by day and kind, for a picture. A NULL currency selects the currency with the most money.
WITH sums AS (
    SELECT l.currency, sum(l.leakage + l.overcharge) AS weight FROM main.leakage_by_day l GROUP BY l.currency
),
chosen AS (
    SELECT coalesce($currency, (SELECT s.currency FROM sums s ORDER BY s.weight DESC, s.currency LIMIT 1)) AS currency
)
SELECT l.day, l.kind, l.currency, sum(l.leakage) AS leakage, sum(l.overcharge) AS overcharge
FROM main.leakage_by_day l
JOIN chosen c ON c.currency = l.currency
GROUP BY l.day, l.kind, l.currency
ORDER BY l.day, l.kind
