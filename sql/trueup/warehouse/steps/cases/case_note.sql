-- What people last said about each case or finding: owner, due day, snooze, note, suppression, merge.
-- Grain: one row per subject decided on. Owner: investigation.
SELECT
    d.finding_id AS subject,                      -- 16 bytes
    arg_max(d.assignee, d.snapshot) FILTER (d.decision = 'assigned') AS assignee, -- who is responsible
    arg_max(d.due_on, d.snapshot) FILTER (d.decision = 'due') AS due_on, -- the day by which it has to be decided
    arg_max(d.until, d.snapshot) FILTER (d.decision = 'snoozed') AS snoozed_until, -- until when it is left out of the queue
    arg_max(d.note, d.snapshot) FILTER (d.note IS NOT NULL) AS note, -- the last note
    arg_max(d.suppress_until, d.snapshot) FILTER (d.sets_status) AS suppressed_until, -- until when later findings of the pattern are dismissed too
    nullif(arg_max(if(d.decision = 'merged', d.into_case, ''), d.snapshot) FILTER (d.decision = 'merged' OR d.status = 'open'), '') AS merged_into, -- the case that took its findings
    arg_max(d.decision = 'write_off_proposed', d.snapshot) FILTER (d.decision = 'write_off_proposed' OR d.status IS NOT NULL) AS awaits_second_person, -- whether a write-off waits for a second person
    CAST(count(*) AS BIGINT) AS decisions         -- number of decisions, comments included
FROM steps.decision_event d
GROUP BY d.finding_id
