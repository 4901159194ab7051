-- Fraud cases of each scored day but the newest, for a comparison with the alert budget. Days on which a model was trained are left
-- out.
-- The champion of a day scored at least half of the day's transactions; NULL on other days.
WITH scored AS (
    SELECT
        d.day, max(d.transactions) AS transactions, sum(d.in_sample) AS in_sample,
        arg_max(d.name, d.transactions) FILTER (d.role = 'champion') AS champion,
        max(d.transactions) FILTER (d.role = 'champion') AS by_champion
    FROM main.fraud_daily d
    GROUP BY d.day
)
SELECT
    s.day, s.transactions, CAST(count(DISTINCT t.case_id) AS BIGINT) AS cases,
    CAST(count(DISTINCT t.case_id) FILTER (t.rules IS NOT NULL) AS BIGINT) AS rule_cases,
    if(2 * s.by_champion >= s.transactions, s.champion, NULL) AS champion
FROM scored s
LEFT JOIN main.suspicious_transactions t ON t.day = s.day
WHERE s.in_sample = 0 AND s.day < (SELECT max(n.day) FROM scored n)
GROUP BY ALL
ORDER BY s.day
