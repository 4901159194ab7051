-- The findings and cases of root causes in a list of full ids, with the columns on which a decision depends. Other ids are missing.
-- Grain: one row per id. Owner: investigation.
WITH asked AS (
    SELECT DISTINCT unnest(CAST($ids AS VARCHAR[])) AS id
),
known AS (
    SELECT a.id, 'finding' AS type FROM asked a WHERE unhex(a.id) IN (SELECT f.finding_id FROM steps.finding_change f)
    UNION
    SELECT a.id, 'root_cause' FROM asked a WHERE unhex(a.id) IN (SELECT o.case_id FROM steps.case_opening o)
)
SELECT k.id, k.type, n.merged_into
FROM known k
LEFT JOIN steps.case_note n ON n.subject = unhex(k.id)
