-- Every decision as of the requested position or time, with its effect.
-- Grain: one row per decision. Owner: investigation.
-- A decision has no position. As of a position, decisions made before the next position was committed count. As of a time,
-- decisions made by then count.
WITH decided AS (
    SELECT
        d.event_id, d.finding_id, d.decision, d.note, d.decided_by, d.decided_at, d.details, d.snapshot_id AS snapshot, k.status,
        k.account,
        CAST(d.details ->> '$.amount_micros' AS DECIMAL(38, 0)) AS amount_micros,
        k.status IS NOT NULL AND coalesce(CAST(d.details ->> '$.whole' AS BOOLEAN), true) AS sets_status
    FROM lake.events.decision d
    LEFT JOIN main.decision_kinds k ON k.decision = d.decision
    WHERE d.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
        AND (getvariable('as_of_moment') IS NULL OR d.decided_at <= getvariable('as_of_moment'))
)
SELECT
    d.event_id,                                   -- 16 bytes
    d.finding_id,                                 -- the subject, 16 bytes: a finding, case or suspicious transaction
    d.decision,                                   -- name of the decision, as recorded
    d.note,                                       -- the note of the person
    d.decided_by,                                 -- name of the person who decided
    d.decided_at,                                 -- time of the decision
    d.snapshot,                                   -- the commit of the decision
    d.status,                                     -- the status that the decision sets; NULL where it changes none
    d.account,                                    -- the account to which the decision moves money; NULL where it moves none
    d.sets_status,                                -- whether the decision changes the status; a decision about a part of the money does not
    d.amount_micros,                              -- the amount that the decision is about; NULL: all money
    CAST(d.details ->> '$.until' AS TIMESTAMPTZ) AS until, -- the time until which the case is snoozed
    CAST(d.details ->> '$.suppress_until' AS TIMESTAMPTZ) AS suppress_until, -- of a dismissal: the time until which later findings of the pattern are dismissed too
    CAST(d.details ->> '$.day' AS DATE) AS due_on, -- the day by which a person must decide the case
    d.details ->> '$.assignee' AS assignee,       -- the responsible person
    d.details ->> '$.action' AS action,           -- the action that a downstream system is asked to take
    d.details ->> '$.into' AS into_case,          -- of a merge: the case that takes the findings; of a split: the new case
    min(d.snapshot) FILTER (WHERE d.sets_status) OVER (
        PARTITION BY d.finding_id ORDER BY d.snapshot ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS next_snapshot                            -- the commit of the next decision that changed the status of the same subject
FROM decided d
