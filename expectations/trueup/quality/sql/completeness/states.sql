-- Commits with rows of a feed of subscriptions. Grain: one feed and position. Owner: quality.
SELECT DISTINCT c.stream, c.source, p.position
FROM lake.events.control AS c
JOIN lake.events.position AS p ON p.snapshot_id = c.snapshot_id
WHERE c.stream IN ('subscriber', 'tariff') AND c.accepted > 0 AND p.position <= $upto
