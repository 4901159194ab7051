-- The newest changes of findings, with the cause of each change.
SELECT committed_at, action, cause, kind, service, subscriber, impact, currency, finding_id
FROM finding_history
ORDER BY committed_at DESC, finding_id
LIMIT 200
