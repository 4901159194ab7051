-- The newest changes of findings, and why.
SELECT committed_at, action, cause, kind, service, subscriber, impact, currency, finding_id
FROM finding_history
ORDER BY committed_at DESC, finding_id
LIMIT 200
