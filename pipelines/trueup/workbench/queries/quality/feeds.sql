-- Each feed: what was delivered, when last, and what was rejected.
-- Grain: one row per feed. Owner: workbench.
SELECT
    u.source, u.source AS key, u.stream,
    count(*) AS units,                            -- files
    sum(u.records) AS records,                    -- records in them
    sum(u.accepted) AS accepted,                  -- new events
    sum(u.duplicate) AS duplicate,                -- known already
    sum(u.quarantined) AS quarantined,            -- rejected
    sum(u.quarantined) / nullif(sum(u.records), 0) AS quarantined_share, -- of the records
    max(u.last_time) AS last_time,                -- the newest record
    max(u.taken_at) AS taken_at                   -- the newest file
FROM source_units u
GROUP BY u.source, u.stream
ORDER BY quarantined_share DESC NULLS LAST, u.source
