-- The last decision on each finding that has a decision.
-- Grain: one row per finding decided on. Owner: warehouse.
-- A decision has no position. As of a position, those made before the next position was committed count;
-- as of a time, those made by then.
SELECT
    d.finding_id,                                 -- 16 bytes
    arg_max(d.decision, d.snapshot_id) AS decision, -- confirmed, recovered, dismissed or reopened
    arg_max(d.note, d.snapshot_id) AS note,       -- the note of the person
    arg_max(d.decided_by, d.snapshot_id) AS decided_by, -- name of the person
    arg_max(d.decided_at, d.snapshot_id) AS decided_at, -- time of the decision
    max(d.snapshot_id) AS snapshot                -- the commit of it
FROM lake.events.decision d
WHERE d.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR d.decided_at <= getvariable('as_of_moment'))
GROUP BY d.finding_id
