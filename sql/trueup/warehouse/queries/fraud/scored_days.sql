-- Scored, suspicious, confirmed and dismissed transactions by day and model.
SELECT d.day, d.name, d.role, d.transactions, d.suspicious, d.confirmed, d.dismissed FROM main.fraud_daily d WHERE d.source = 'model'
