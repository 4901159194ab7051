-- The suspicious transactions of one case, in the order of time.
-- Grain: one row per transaction. Owner: workbench.
SELECT
    t.event_id, t.event_id AS key, t.started_at, t.service, t.subscriber, t.peer, t.party, t.probability, t.rules, t.sentences, t.status
FROM suspicious_transactions t
WHERE t.case_id = $id
ORDER BY t.started_at, t.event_id
LIMIT $most
