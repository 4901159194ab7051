-- The highest probability of each fraud case, its model, and whether a rule alerts in it.
SELECT t.case_id, t.day, max(t.probability) AS probability, arg_max(t.model_id, t.probability) AS model_id, bool_or(t.rules IS NOT NULL) AS has_rule
FROM main.suspicious_transactions t
GROUP BY t.case_id, t.day
