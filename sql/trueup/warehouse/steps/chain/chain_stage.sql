-- The stages of each chain, as the project declares them.
-- Grain: one row per chain and stage. Owner: warehouse.
SELECT
    c.value ->> '$.name' AS chain,                -- name of the chain in trueup.toml
    CAST(s.key AS INTEGER) AS stage_no,           -- number of the stage; 0 is the usage
    s.value ->> '$' AS stage,                     -- name of the stage
    CAST(json_array_length(c.value, '$.stages') AS INTEGER) - 1 AS last_no, -- the stage_no of the charges
    c.value ->> '$.compare' = 'aggregate' AS by_period, -- whether the chain compares sums of periods instead of sessions
    c.value ->> '$.period' AS period,             -- week, month, or a number of microseconds
    CAST(c.value -> '$.services' AS VARCHAR[]) AS services -- the services of the chain; empty: all services
FROM json_each(getvariable('chains')) c, json_each(c.value, '$.stages') s
