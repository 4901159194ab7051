-- The suspicious transactions of a fraud case, most probable first.
SELECT t.event_id, t.status, t.service, t.started_at, t.subscriber, t.peer, t.probability, t.rules, t.sentences, t.exposure, t.currency
FROM main.suspicious_transactions t
WHERE t.case_id = $case_id
ORDER BY t.probability DESC NULLS LAST, t.started_at, t.event_id
LIMIT $most
