-- Records that each feed brought and the log took. Grain: one feed. Owner: quality.
SELECT c.source, CAST(sum(c.accepted) AS BIGINT) AS records FROM lake.events.control AS c GROUP BY c.source ORDER BY c.source
