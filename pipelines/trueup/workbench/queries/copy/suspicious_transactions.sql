-- Suspicious transactions without the contribution of each feature. The contributions are large and are read for one transaction at
-- a time.
-- Grain: one row per suspicious transaction and accused party. Owner: workbench.
SELECT
    t.* EXCLUDE (reasons),
    s.scored_snapshot                             -- the commit of the first score of the transaction
FROM main.suspicious_transactions t
JOIN steps.suspicion s ON s.event_id = unhex(t.event_id) AND s.case_id = t.case_id
