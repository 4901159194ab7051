-- Every opened case of a root cause, as of the requested position or time.
-- Grain: one row per case. Owner: investigation.
SELECT
    o.case_id,                                    -- 16 bytes
    o.kind,                                       -- kind of the findings
    o.currency,                                   -- currency of the money
    o.pattern,                                    -- JSON: an array of [dimension, value]
    o.parent,                                     -- the case from which a person split this case; NULL for a case that a search opened
    o.position,                                   -- the position up to which the search had read the log
    o.opened_at,                                  -- when the case was opened
    o.owner,                                      -- the responsible person by the settings
    o.due_on,                                     -- the day by which the case is due, by the settings
    o.evidence,                                   -- JSON: the counts of the search
    o.snapshot_id AS snapshot                     -- the commit that opened the case
FROM lake.events.case_opening o
WHERE o.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR o.opened_at <= getvariable('as_of_moment'))
