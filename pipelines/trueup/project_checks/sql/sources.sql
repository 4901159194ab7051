-- Deliveries of each source. Grain: one source with at least one unit. Owner: project checks.
SELECT
    c.source,
    any_value(c.stream) AS stream,
    CAST(sum(c.accepted) AS BIGINT) AS accepted,              -- number of accepted records
    CAST(coalesce(sum(c.accepted) FILTER (c.snapshot_id > $after), 0) AS BIGINT) AS waiting, -- number of accepted records that are not reconciled yet
    max_by(c.path, c.sequence_no, 50) AS newest_paths,        -- paths of the newest units
    bool_or(c.source IN (
        SELECT d.source FROM lake.events.declaration AS d WHERE d.kind = 'close'
    )) AS closed                                              -- whether the source was ever declared complete
FROM lake.events.control AS c
GROUP BY c.source
ORDER BY c.source
