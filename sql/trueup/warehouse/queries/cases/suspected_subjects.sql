-- The suspicious transactions and fraud cases in a list of full ids. Other ids are missing.
-- Grain: one row per id. Owner: investigation.
WITH asked AS (
    SELECT DISTINCT unnest(CAST($ids AS VARCHAR[])) AS id
)
SELECT a.id, 'transaction' AS type, NULL AS merged_into FROM asked a WHERE unhex(a.id) IN (SELECT s.event_id FROM steps.suspicion s)
UNION
SELECT a.id, 'fraud', NULL FROM asked a WHERE a.id IN (SELECT s.case_id FROM steps.suspicion s)
