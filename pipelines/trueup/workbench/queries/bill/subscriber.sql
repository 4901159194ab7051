-- The states of one subscription in network and billing.
SELECT s.system, s.plan, s.segment, s.status, s.account, s.valid_from, s.valid_to
FROM subscriptions s
WHERE s.subscriber = $subscriber
ORDER BY s.system, s.valid_from
