-- The last statements of people about each case or finding: owner, due day, snooze, note, suppression, merge.
-- Grain: one row per subject with a decision. Owner: investigation.
-- `arg_max` skips rows whose value is NULL; `arg_max_null` does not.
SELECT
    d.finding_id AS subject,                      -- 16 bytes
    arg_max(d.assignee, d.snapshot) FILTER (d.decision = 'assigned') AS assignee, -- the responsible person
    arg_max(d.due_on, d.snapshot) FILTER (d.decision = 'due') AS due_on, -- the day by which a person must decide the case
    arg_max(d.until, d.snapshot) FILTER (d.decision = 'snoozed') AS snoozed_until, -- the time until which the case is left out of the queue
    arg_max(d.note, d.snapshot) FILTER (d.note IS NOT NULL) AS note, -- the last note
    arg_max_null(d.suppress_until, d.snapshot) FILTER (d.sets_status) AS suppressed_until, -- the time until which later findings of the pattern are dismissed too; NULL after a later decision without such a time
    nullif(arg_max(if(d.decision = 'merged', d.into_case, ''), d.snapshot) FILTER (d.decision = 'merged' OR d.status = 'open'), '') AS merged_into, -- the case that took the findings of this case
    arg_max(d.decision = 'write_off_proposed', d.snapshot) FILTER (d.decision = 'write_off_proposed' OR d.status IS NOT NULL) AS awaits_second_person, -- whether a write-off waits for approval by a second person
    CAST(count(*) AS BIGINT) AS decisions         -- number of decisions, comments included
FROM steps.decision_event d
GROUP BY d.finding_id
