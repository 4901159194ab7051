-- The findings and the money of each case of a root cause that has findings.
-- Grain: one row per case. Owner: investigation.
-- A case shows the money of its findings that later records have not closed, decided or not. Findings that a dismissal of the
-- pattern hides are counted separately. Undecided money is the money in the account `detected`.
WITH filed AS MATERIALIZED (
    FROM steps.finding_money f WHERE f.case_id IS NOT NULL
),
filed_items AS (
    SELECT f.finding_id AS item_id, f.case_id, f.filed_snapshot, f.ledger_micros AS micros FROM filed f WHERE f.ledger_micros IS NOT NULL
),
members AS (
    SELECT
        f.case_id, f.stands, f.status, f.day, f.started_at, f.impact_micros, coalesce(h.is_hidden, false) AS is_hidden,
        f.is_provisional, coalesce(t.micros, 0) AS taken_micros
    FROM filed f
    LEFT JOIN (
        SELECT d.finding_id, arg_max(d.is_suppressed, d.snapshot) AS is_hidden
        FROM steps.decision_on_finding d WHERE d.sets_status GROUP BY d.finding_id
    ) h ON h.finding_id = f.finding_id
    LEFT JOIN steps.money_taken('filed_items', 'steps.decision_event') t ON t.item_id = f.finding_id
)
SELECT
    m.case_id,                                    -- 16 bytes
    count(*) FILTER (m.stands AND NOT m.is_hidden) AS findings, -- number of findings that later records have not closed
    count(*) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open') AS open_findings, -- number of undecided findings
    count(*) FILTER (m.stands AND m.is_hidden) AS hidden_findings, -- findings that a dismissal of the pattern hides
    coalesce(sum(m.impact_micros) FILTER (m.stands AND NOT m.is_hidden), 0) AS impact_micros, -- money of the findings that later records have not closed
    coalesce(sum(m.impact_micros - m.taken_micros) FILTER (m.stands AND NOT m.is_hidden AND m.status = 'open'), 0) AS open_micros, -- money of the undecided findings, less the parts that decisions have moved
    coalesce(sum(m.impact_micros) FILTER (m.stands AND m.is_hidden), 0) AS hidden_micros, -- money of the hidden findings
    coalesce(sum(abs(m.impact_micros)) FILTER (m.stands AND m.is_provisional), 0) AS provisional_micros, -- money of findings that may vanish
    coalesce(sum(abs(m.impact_micros)) FILTER (m.stands), 0) AS whole_micros, -- sum of the absolute amounts of all these findings
    min(m.day) FILTER (m.stands) AS first_day,    -- first day of the money
    min(m.started_at) FILTER (m.stands) AS first_at, -- time of the first record
    max(m.started_at) FILTER (m.stands) AS last_at, -- time of the last record
    -- A case has one status: of several, the status with the most money.
    arg_max(m.status, (m.status_micros, m.status)) FILTER (m.stands AND m.status <> 'open') AS decided_status -- NULL where no finding is decided
FROM (SELECT m.*, sum(abs(m.impact_micros)) OVER (PARTITION BY m.case_id, m.status) AS status_micros FROM members m) m
GROUP BY m.case_id
