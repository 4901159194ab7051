-- Suspicious transactions without the contribution of each feature, which is large and read for one transaction at a time.
SELECT t.* EXCLUDE (reasons) FROM memory.main.suspicious_transactions t
