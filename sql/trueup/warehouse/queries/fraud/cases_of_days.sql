-- Fraud cases of each scored day but the newest, for a comparison with the alert budget. Days on which a model was trained are left
-- out.
WITH scored AS (
    SELECT d.day, max(d.transactions) AS transactions, sum(d.in_sample) AS in_sample FROM main.fraud_daily d GROUP BY d.day
)
SELECT s.day, s.transactions, CAST(count(DISTINCT t.case_id) AS BIGINT) AS cases
FROM scored s
LEFT JOIN main.suspicious_transactions t ON t.day = s.day
WHERE s.in_sample = 0 AND s.day < (SELECT max(n.day) FROM scored n)
GROUP BY s.day, s.transactions
ORDER BY s.day
