-- Suspicious transactions for the page Explore and its cross-filters.
SELECT
    CAST(t.day AS TIMESTAMP) AS day, t.service AS kind, t.status, t.service, coalesce(t.rules, 'model') AS node,
    coalesce(t.rules, 'model') AS reason, t.party AS subscriber, t.peer, t.probability AS impact, hour(t.started_at) AS hour,
    t.event_id AS finding_id
FROM copy.main.suspicious_transactions t
