-- What each of a list of full ids is, with what a decision on it depends on. Ids that the log does not have are missing.
-- Grain: one row per id. Owner: investigation.
WITH asked AS (
    SELECT DISTINCT unnest(CAST($ids AS VARCHAR[])) AS id
),
known AS (
    SELECT a.id, 'finding' AS type FROM asked a WHERE unhex(a.id) IN (SELECT f.finding_id FROM steps.finding_change f)
    UNION
    SELECT a.id, 'root_cause' FROM asked a WHERE unhex(a.id) IN (SELECT o.case_id FROM steps.case_opening o)
    UNION
    SELECT a.id, 'transaction' FROM asked a WHERE unhex(a.id) IN (SELECT s.event_id FROM steps.suspicion s)
    UNION
    SELECT a.id, 'fraud' FROM asked a WHERE a.id IN (SELECT s.case_id FROM steps.suspicion s)
)
SELECT k.id, k.type, n.merged_into
FROM known k
LEFT JOIN steps.case_note n ON n.subject = unhex(k.id)
