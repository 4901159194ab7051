-- Number of accepted records of each feed. Grain: one feed. Owner: quality.
SELECT c.source, CAST(sum(c.accepted) AS BIGINT) AS records FROM lake.events.control AS c GROUP BY c.source ORDER BY c.source
