-- Ingested source units, with the counts of their records.
-- Grain: one row per source unit (a file), and one row per unit and mapping of records mapped again. Owner: warehouse.
SELECT
    c.source,                                     -- the feed's name in trueup.toml
    c.stream,                                     -- usage, charge, subscriber or tariff
    c.source_id,                                  -- the source unit
    any_value(c.path) AS path,                    -- path of the file, relative to the project where the file lies within the project
    any_value(c.sha256) AS sha256,                -- sha256 of the bytes of the unit
    max(c.bytes) AS bytes,                        -- size of the unit in bytes
    CAST(count(*) AS BIGINT) AS parts,            -- number of commits that ingested the unit
    bool_or(c.last_part) AND count(*) = max(c.part_no) + 1 AS complete, -- whether all parts of the unit are ingested
    max(c.declared_records) AS declared_records,  -- number of records that the sender declares; NULL where the sender declares none
    CAST(sum(c.records) AS BIGINT) AS records,    -- = accepted + duplicate + filtered + quarantined
    CAST(sum(c.accepted) AS BIGINT) AS accepted,  -- number of new events
    CAST(sum(c.duplicate) AS BIGINT) AS duplicate, -- records already ingested with the same content
    CAST(sum(coalesce(c.filtered, 0)) AS BIGINT) AS filtered, -- records that the source's `where` left out
    CAST(sum(c.quarantined) AS BIGINT) AS quarantined, -- number of rejected records
    sum(c.quarantined) / nullif(sum(c.records), 0) AS quarantined_share, -- quarantined / records, 0 to 1
    CAST(sum(c.lost_digits) AS BIGINT) AS lost_digits, -- records whose decimals were rounded to millionths
    min(c.first_time) AS first_time,              -- least time of a record, UTC; of a subscription, the begin of the state
    max(c.last_time) AS last_time,                -- greatest time of a record, UTC; of a subscription, the begin of the state
    max(c.taken_at) AS taken_at,                  -- when the last part of the unit was ingested, UTC
    min(p.position) AS first_position,            -- position of the first part
    max(p.position) AS last_position,             -- position of the last part
    any_value(c.recycles) AS recycles             -- of records mapped again: the unit that delivered the records; NULL for a file
FROM lake.events.control c
JOIN lake.events.position p ON p.snapshot_id = c.snapshot_id
WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
GROUP BY c.source, c.stream, c.source_id
ORDER BY c.source, last_position
