-- Scoring of one model by day.
SELECT d.day, d.role, d.transactions, d.suspicious, d.alert_rate, d.confirmed, d.dismissed
FROM fraud_daily d
WHERE d.name = $name
ORDER BY d.day
