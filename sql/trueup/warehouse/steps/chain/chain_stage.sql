-- The stages of each chain, as the project declares them.
-- Grain: one row per chain and stage. Owner: warehouse.
SELECT
    c.value ->> '$.name' AS chain,                -- its name in trueup.toml
    CAST(s.key AS INTEGER) AS stage_no,           -- 0 is the usage
    s.value ->> '$' AS stage,                     -- its name
    CAST(json_array_length(c.value, '$.stages') AS INTEGER) - 1 AS last_no, -- the stage_no of the charges
    c.value ->> '$.compare' = 'aggregate' AS by_period, -- whether sums of periods are compared, not sessions
    c.value ->> '$.period' AS period,             -- week, month, or its microseconds
    CAST(c.value -> '$.services' AS VARCHAR[]) AS services -- empty: all services
FROM json_each(getvariable('chains')) c, json_each(c.value, '$.stages') s
