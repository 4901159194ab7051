-- Cases of root causes: findings that one cause likely explains.
-- Grain: one row per case that a search or a person opened. Owner: investigation.
-- A case shows the money of its findings that stand, whether decided or not; findings that a dismissal of the pattern hides count apart.
WITH precisions AS (
    SELECT f.kind, (count(*) FILTER (f.status <> 'dismissed') + 1) / (count(*) + 1) AS precision
    FROM steps.finding_now f
    WHERE f.stands AND f.status <> 'open' AND f.status IS NOT NULL
    GROUP BY f.kind
),
members AS (
    SELECT
        f.case_id, n.stands, n.status, n.day, n.started_at, n.impact_micros, n.finding_id, f.filed_at,
        coalesce(h.is_hidden, false) AS is_hidden, p.finding_id IS NOT NULL AS is_provisional
    FROM steps.case_filing f
    JOIN steps.finding_now n ON n.finding_id = f.finding_id
    LEFT JOIN (
        SELECT d.finding_id, arg_max(d.is_suppressed, d.snapshot) AS is_hidden
        FROM steps.decision_on_finding d WHERE d.sets_status GROUP BY d.finding_id
    ) h ON h.finding_id = f.finding_id
    LEFT JOIN steps.finding_provisional p ON p.finding_id = f.finding_id
    WHERE f.until_snapshot IS NULL
),
sums AS (
    SELECT
        m.case_id,
        count(*) FILTER (m.stands AND NOT m.is_hidden) AS findings,
        count(*) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open') AS open_findings,
        count(*) FILTER (m.stands AND m.is_hidden) AS hidden_findings,
        coalesce(sum(m.impact_micros) FILTER (m.stands AND NOT m.is_hidden), 0) AS impact_micros,
        coalesce(sum(m.impact_micros) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open'), 0) AS open_micros,
        coalesce(sum(m.impact_micros) FILTER (m.stands AND m.is_hidden), 0) AS hidden_micros,
        coalesce(sum(abs(m.impact_micros)) FILTER (m.stands AND m.is_provisional), 0) AS provisional_micros,
        coalesce(sum(abs(m.impact_micros)) FILTER (m.stands), 0) AS whole_micros,
        min(m.day) FILTER (m.stands) AS first_day,
        min(m.started_at) FILTER (m.stands) AS first_at,
        max(m.started_at) FILTER (m.stands) AS last_at,
        count(DISTINCT m.status) FILTER (m.stands AND m.status <> 'open') AS statuses,
        -- One word for the whole case: of several, the one that most of the money has.
        arg_max(m.status, m.status_micros) FILTER (m.stands AND m.status <> 'open') AS decided_status
    FROM (SELECT m.*, sum(abs(m.impact_micros)) OVER (PARTITION BY m.case_id, m.status) AS status_micros FROM members m) m
    GROUP BY m.case_id
)
SELECT
    o.case_id,                                    -- 16 bytes
    o.kind,                                       -- of its findings
    o.currency,                                   -- of its money
    o.pattern,                                    -- JSON: an array of [dimension, value]
    o.parent,                                     -- the case it was split from
    o.opened_at,                                  -- when it was opened
    o.snapshot,                                   -- the commit that opened it
    CASE
        WHEN n.merged_into IS NOT NULL THEN 'merged'
        WHEN coalesce(s.findings, 0) + coalesce(s.hidden_findings, 0) = 0 THEN 'closed'
        WHEN s.open_findings > 0 THEN 'open'
        ELSE coalesce(s.decided_status, 'open')
    END AS status,                                -- merged; closed: no finding stands; open: a finding is undecided; else the decision
    CAST(coalesce(s.findings, 0) AS BIGINT) AS findings, -- findings that stand
    CAST(coalesce(s.open_findings, 0) AS BIGINT) AS open_findings, -- of these, undecided
    coalesce(s.impact_micros, 0) AS impact_micros, -- money of the findings that stand
    coalesce(s.open_micros, 0) AS open_micros,    -- of these, undecided
    CAST(coalesce(s.hidden_findings, 0) AS BIGINT) AS hidden_findings, -- findings that a dismissal of the pattern hides
    coalesce(s.hidden_micros, 0) AS hidden_micros, -- their money
    s.first_day,                                  -- first day of its money
    s.first_at,                                   -- time of its first record
    s.last_at,                                    -- time of its last record
    coalesce(p.precision, 1) * (1 - coalesce(s.provisional_micros / nullif(s.whole_micros, 0), 0)) AS confidence, -- share of decisions that confirmed its kind, times the share of its money that is not provisional
    coalesce(n.assignee, o.owner) AS assignee,       -- who is responsible
    coalesce(n.due_on, o.due_on) AS due_on,           -- the day by which it has to be decided
    n.snoozed_until,                              -- until when it is left out of the queue
    n.suppressed_until,                           -- until when later findings of the pattern are dismissed too
    n.merged_into,                                -- the case that took its findings
    coalesce(n.awaits_second_person, false) AS awaits_second_person, -- whether a write-off waits for a second person
    n.note,                                       -- the last note
    coalesce(n.decisions, 0) AS decisions         -- number of decisions
FROM steps.case_opening o
LEFT JOIN sums s ON s.case_id = o.case_id
LEFT JOIN precisions p ON p.kind = o.kind
LEFT JOIN steps.case_note n ON n.subject = o.case_id
