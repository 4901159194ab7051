-- The findings and the money of each case of a root cause that has findings.
-- Grain: one row per case. Owner: investigation.
-- A case shows the money of its findings that stand, whether decided or not; findings that a dismissal of the pattern hides count apart.
WITH members AS (
    SELECT
        f.case_id, n.stands, n.status, n.day, n.started_at, n.impact_micros, coalesce(h.is_hidden, false) AS is_hidden,
        p.finding_id IS NOT NULL AS is_provisional
    FROM steps.case_filing f
    JOIN steps.finding_now n ON n.finding_id = f.finding_id
    LEFT JOIN (
        SELECT d.finding_id, arg_max(d.is_suppressed, d.snapshot) AS is_hidden
        FROM steps.decision_on_finding d WHERE d.sets_status GROUP BY d.finding_id
    ) h ON h.finding_id = f.finding_id
    LEFT JOIN steps.finding_provisional p ON p.finding_id = f.finding_id
    WHERE f.until_snapshot IS NULL
)
SELECT
    m.case_id,                                    -- 16 bytes
    count(*) FILTER (m.stands AND NOT m.is_hidden) AS findings, -- findings that stand
    count(*) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open') AS open_findings, -- of these, undecided
    count(*) FILTER (m.stands AND m.is_hidden) AS hidden_findings, -- findings that a dismissal of the pattern hides
    coalesce(sum(m.impact_micros) FILTER (m.stands AND NOT m.is_hidden), 0) AS impact_micros, -- money of the findings that stand
    coalesce(sum(m.impact_micros) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open'), 0) AS open_micros, -- of these, undecided
    coalesce(sum(m.impact_micros) FILTER (m.stands AND m.is_hidden), 0) AS hidden_micros, -- money of the hidden findings
    coalesce(sum(abs(m.impact_micros)) FILTER (m.stands AND m.is_provisional), 0) AS provisional_micros, -- money of findings that may vanish
    coalesce(sum(abs(m.impact_micros)) FILTER (m.stands), 0) AS whole_micros, -- money of all, without signs
    min(m.day) FILTER (m.stands) AS first_day,    -- first day of its money
    min(m.started_at) FILTER (m.stands) AS first_at, -- time of its first record
    max(m.started_at) FILTER (m.stands) AS last_at, -- time of its last record
    -- One word for the whole case: of several, the one that most of the money has.
    arg_max(m.status, (m.status_micros, m.status)) FILTER (m.stands AND m.status <> 'open') AS decided_status -- NULL where none is decided
FROM (SELECT m.*, sum(abs(m.impact_micros)) OVER (PARTITION BY m.case_id, m.status) AS status_micros FROM members m) m
GROUP BY m.case_id
