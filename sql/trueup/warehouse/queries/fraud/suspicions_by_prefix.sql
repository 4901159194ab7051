-- Ids of cases and suspicious transactions that begin with a text.
SELECT DISTINCT lower(hex(s.event_id)) AS id FROM steps.suspicion s WHERE starts_with(lower(hex(s.event_id)), $prefix)
UNION
SELECT DISTINCT s.case_id AS id FROM steps.suspicion s WHERE starts_with(s.case_id, $prefix)
UNION
SELECT lower(hex(o.case_id)) AS id FROM steps.case_opening o WHERE starts_with(lower(hex(o.case_id)), $prefix)
ORDER BY id
