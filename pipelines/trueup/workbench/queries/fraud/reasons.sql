-- The contributions of features to the most suspicious transaction of a case. The query reads the lake itself.
SELECT t.event_id, t.started_at, t.probability, t.margin, t.model_id, t.rules, t.sentences, t.reasons
FROM main.suspicious_transactions t
WHERE t.case_id = $id
ORDER BY t.probability DESC NULLS LAST, t.event_id
LIMIT 1
