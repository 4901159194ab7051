-- Every case of a root cause that was opened, as of the point asked for.
-- Grain: one row per case. Owner: investigation.
SELECT
    o.case_id,                                    -- 16 bytes
    o.kind,                                       -- of its findings
    o.currency,                                   -- of its money
    o.pattern,                                    -- JSON: an array of [dimension, value]
    o.parent,                                     -- the case it was split from; NULL for a case that a search opened
    o.position,                                   -- the position up to which the search read
    o.opened_at,                                  -- when it was opened
    o.owner,                                      -- who is responsible by the settings
    o.due_on,                                     -- the day by which it is due by the settings
    o.evidence,                                   -- JSON: what the search counted
    o.snapshot_id AS snapshot                     -- the commit that opened it
FROM lake.events.case_opening o
WHERE o.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR o.opened_at <= getvariable('as_of_moment'))
