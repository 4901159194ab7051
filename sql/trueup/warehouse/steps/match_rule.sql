-- Rules for matching the usage and charges of each service, by the policy in force.
-- Grain: one row per service with rules of its own, and one row without a service for all others. Owner: warehouse.
SELECT
    r.service,                                    -- NULL: all services without rules of their own
    json_contains(r.rules -> '$.match', '"session_key"') AS by_key, -- whether records match by session key
    json_contains(r.rules -> '$.match', '"nearest"') AS by_nearest, -- whether records match by party and nearest start
    json_contains(r.rules -> '$.match', '"aggregate"') AS by_period, -- whether all records of a subscriber and period are compared as sums
    CAST(r.rules ->> '$.start_tolerance' AS BIGINT) AS start_tolerance_us, -- greatest distance between two starts that match
    CAST(coalesce(r.rules ->> '$.period_zone' = 'subscriber', FALSE) AS INTEGER) AS zone_days, -- by how many days a period may begin before or after that of the project's zone: 1 with period_zone = subscriber
    r.rules ->> '$.period' AS period               -- week, month, cycle, or a number of microseconds
FROM (
    SELECT s.key AS service, s.value AS rules FROM steps.policy_now p, json_each(p.content, '$.services') s
    UNION ALL
    SELECT NULL, p.content -> '$.default' FROM steps.policy_now p
) r
