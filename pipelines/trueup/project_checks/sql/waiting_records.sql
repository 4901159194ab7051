-- Records of usage and charges that are not reconciled yet. Grain: one row. Owner: project checks.
SELECT CAST(coalesce(sum(c.accepted), 0) AS BIGINT) AS records
FROM lake.events.control AS c
WHERE c.snapshot_id > $after AND c.stream IN ('usage', 'charge')
