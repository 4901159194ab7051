-- Ingested source units, with the counts of their records.
-- Grain: one row per source unit (a file), and one per unit and mapping of records mapped again. Owner: warehouse.
SELECT
    c.source,                                     -- the feed's name in trueup.toml
    c.stream,                                     -- usage, charge, subscriber or tariff
    c.source_id,                                  -- the source unit
    any_value(c.path) AS path,                    -- where it was read, relative to the project where it lies within
    any_value(c.sha256) AS sha256,                -- of its bytes
    max(c.bytes) AS bytes,                        -- its size
    CAST(count(*) AS BIGINT) AS parts,            -- number of commits that ingested it
    bool_or(c.last_part) AND count(*) = max(c.part_no) + 1 AS complete, -- whether all its parts are ingested
    max(c.declared_records) AS declared_records,  -- records that its sender declares; NULL where it declares none
    CAST(sum(c.records) AS BIGINT) AS records,    -- = accepted + duplicate + filtered + quarantined
    CAST(sum(c.accepted) AS BIGINT) AS accepted,  -- new events
    CAST(sum(c.duplicate) AS BIGINT) AS duplicate, -- already ingested, same content
    CAST(sum(coalesce(c.filtered, 0)) AS BIGINT) AS filtered, -- left out by the source's `where`
    CAST(sum(c.quarantined) AS BIGINT) AS quarantined, -- rejected
    sum(c.quarantined) / nullif(sum(c.records), 0) AS quarantined_share, -- of records, 0 to 1
    CAST(sum(c.lost_digits) AS BIGINT) AS lost_digits, -- records whose decimals were rounded to millionths
    min(c.first_time) AS first_time,              -- least time of a record, UTC; of a state, the time it begins
    max(c.last_time) AS last_time,                -- greatest time of a record, UTC; of a state, the time it begins
    max(c.taken_at) AS taken_at,                  -- when its last part was ingested, UTC
    min(p.position) AS first_position,            -- position of its first part
    max(p.position) AS last_position,             -- position of its last part
    any_value(c.recycles) AS recycles             -- of records mapped again: the unit that delivered them; NULL for a file
FROM lake.events.control c
JOIN lake.events.position p ON p.snapshot_id = c.snapshot_id
WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
GROUP BY c.source, c.stream, c.source_id
ORDER BY c.source, last_position
