-- Cases of root causes: findings that one cause likely explains.
-- Grain: one row per case that a search or a person opened. Owner: investigation.
SELECT
    o.case_id,                                    -- 16 bytes
    o.kind,                                       -- kind of the findings
    o.currency,                                   -- currency of the money
    o.pattern,                                    -- JSON: an array of [dimension, value]
    o.parent,                                     -- the case from which a person split this case
    o.opened_at,                                  -- when the case was opened
    o.snapshot,                                   -- the commit that opened the case
    CASE
        WHEN n.merged_into IS NOT NULL THEN 'merged'
        WHEN coalesce(s.findings, 0) + coalesce(s.hidden_findings, 0) = 0 THEN 'closed'
        WHEN s.open_findings > 0 THEN 'open'
        ELSE coalesce(s.decided_status, 'open')
    END AS status,                                -- merged; closed: later records closed all findings; open: a finding is undecided; else the decision
    CAST(coalesce(s.findings, 0) AS BIGINT) AS findings, -- number of findings that later records have not closed
    CAST(coalesce(s.open_findings, 0) AS BIGINT) AS open_findings, -- number of undecided findings
    coalesce(s.impact_micros, 0) AS impact_micros, -- money of the findings that later records have not closed
    coalesce(s.open_micros, 0) AS open_micros,    -- money of the undecided findings
    CAST(coalesce(s.hidden_findings, 0) AS BIGINT) AS hidden_findings, -- findings that a dismissal of the pattern hides
    coalesce(s.hidden_micros, 0) AS hidden_micros, -- money of the hidden findings
    s.first_day,                                  -- first day of the money
    s.first_at,                                   -- time of the first record
    s.last_at,                                    -- time of the last record
    coalesce(p.precision, 1) * (1 - coalesce(s.provisional_micros / nullif(s.whole_micros, 0), 0)) AS confidence, -- share of decisions that confirmed findings of the kind, times the share of the money that is not provisional
    coalesce(n.assignee, o.owner) AS assignee,       -- the responsible person
    coalesce(n.due_on, o.due_on) AS due_on,           -- the day by which a person must decide the case
    n.snoozed_until,                              -- the time until which the case is left out of the queue
    n.suppressed_until,                           -- the time until which later findings of the pattern are dismissed too
    n.merged_into,                                -- the case that took the findings of this case
    coalesce(n.awaits_second_person, false) AS awaits_second_person, -- whether a write-off waits for approval by a second person
    n.note,                                       -- the last note
    coalesce(n.decisions, 0) AS decisions         -- number of decisions
FROM steps.case_opening o
LEFT JOIN steps.case_sums s ON s.case_id = o.case_id
LEFT JOIN steps.kind_precision p ON p.kind = o.kind
LEFT JOIN steps.case_note n ON n.subject = o.case_id
