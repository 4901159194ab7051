-- Each feed with its files, its records, its newest delivery, and its rejected records.
-- Grain: one row per feed. Owner: workbench.
SELECT
    u.source, u.source AS key, u.stream,
    count(*) AS units,                            -- number of files
    sum(u.records) AS records,                    -- number of records in the files
    sum(u.accepted) AS accepted,                  -- number of new events
    sum(u.duplicate) AS duplicate,                -- number of records that the log already had
    sum(u.quarantined) AS quarantined,            -- number of rejected records
    sum(u.quarantined) / nullif(sum(u.records), 0) AS quarantined_share, -- share of the records that were rejected
    max(u.last_time) AS last_time,                -- time of the newest record
    max(u.taken_at) AS taken_at                   -- time at which the newest file was ingested
FROM source_units u
GROUP BY u.source, u.stream
ORDER BY quarantined_share DESC NULLS LAST, u.source
