-- Deliveries of each source. Grain: one source with a unit. Owner: project checks.
SELECT
    c.source,
    any_value(c.stream) AS stream,
    CAST(sum(c.accepted) AS BIGINT) AS accepted,              -- accepted records
    CAST(coalesce(sum(c.accepted) FILTER (c.snapshot_id > $after), 0) AS BIGINT) AS waiting, -- of these, not reconciled yet
    max_by(c.path, c.sequence_no, 50) AS newest_paths,        -- of its units
    bool_or(c.source IN (
        SELECT d.source FROM lake.events.declaration AS d WHERE d.kind = 'close'
    )) AS closed                                              -- declared complete up to some time
FROM lake.events.control AS c
GROUP BY c.source
ORDER BY c.source
