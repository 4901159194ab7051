-- The number of confirmed fraud cases of all days, and of days after $after.
SELECT count(DISTINCT t.case_id) AS cases, count(DISTINCT t.case_id) FILTER (t.day > $after) AS later_cases
FROM main.suspicious_transactions t
WHERE t.status NOT IN ('open', 'dismissed')
