-- The fraud cases of each day by alerting rule; a case of two rules counts for both.
WITH matched AS (
    SELECT DISTINCT t.day, t.case_id, unnest(string_split(t.rules, ', ')) AS rule FROM main.suspicious_transactions t
)
SELECT m.day, m.rule, CAST(count(*) AS BIGINT) AS cases
FROM matched m
GROUP BY m.day, m.rule
ORDER BY m.day, m.rule
