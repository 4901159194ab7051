-- Number of subscriptions whose time zone differs from the project's. Grain: one row. Owner: project_checks.
SELECT count(DISTINCT s.subscriber) AS subscriptions, min(s.timezone) AS example
FROM lake.events.subscriber s
WHERE s.timezone <> $zone
