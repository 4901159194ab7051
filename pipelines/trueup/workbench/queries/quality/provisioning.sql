-- Subscriptions on which network and billing differ, the most money first.
SELECT p.finding_id, p.finding_id AS key, p.kind, p.subscriber, p.reason, p.started_at, p.days, p.findings, p.at_stake, p.currency, p.status
FROM provisioning p
ORDER BY abs(p.at_stake) DESC, p.started_at
LIMIT 500
