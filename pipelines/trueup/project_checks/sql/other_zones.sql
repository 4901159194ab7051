-- Subscriptions with a time zone of their own, other than the project's. Grain: one row. Owner: project_checks.
SELECT count(DISTINCT s.subscriber) AS subscriptions, min(s.timezone) AS example
FROM lake.events.subscriber s
WHERE s.timezone <> $zone
