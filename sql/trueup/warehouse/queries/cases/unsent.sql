-- Messages to send: open cases with enough undecided money, and requests for actions.
-- Grain: one row per message. Owner: investigation.
-- A case is reported again when it was decided and is open again, or when its undecided money has doubled since the last message.
-- `decision_id` is the requested action; of a case, the last decision after which nothing of the case was undecided.
WITH queue AS MATERIALIZED (
    FROM main.cases
),
filed AS (
    SELECT f.finding_id, f.case_id, f.snapshot
    FROM steps.case_filing f
    JOIN steps.finding_now n ON n.finding_id = f.finding_id AND n.stands
    WHERE f.until_snapshot IS NULL
),
decided AS (
    SELECT f.case_id, d.finding_id, d.snapshot, d.event_id, d.status
    FROM steps.decision_on_finding d
    JOIN filed f ON f.finding_id = d.finding_id
    WHERE d.sets_status
),
states AS (
    SELECT
        e.case_id, e.finding_id, e.snapshot, e.event_id,
        CAST(bool_or(e.event_id IS NULL) OVER so_far AND coalesce(last_value(e.status IGNORE NULLS) OVER so_far, 'open') = 'open' AS BIGINT) AS undecided
    FROM (
        FROM decided
        UNION ALL BY NAME
        SELECT f.* FROM filed f SEMI JOIN decided d ON d.case_id = f.case_id
    ) e
    WINDOW so_far AS (PARTITION BY e.finding_id ORDER BY e.snapshot, e.event_id NULLS FIRST ROWS UNBOUNDED PRECEDING)
),
changes AS (
    SELECT
        s.case_id, s.snapshot, s.event_id,
        s.undecided - lag(s.undecided, 1, 0) OVER (PARTITION BY s.finding_id ORDER BY s.snapshot, s.event_id NULLS FIRST) AS change
    FROM states s
),
commits AS (
    SELECT c.case_id, c.snapshot, max(c.event_id) AS event_id, sum(sum(c.change)) OVER (PARTITION BY c.case_id ORDER BY c.snapshot) AS undecided
    FROM changes c
    GROUP BY c.case_id, c.snapshot
),
closed AS (
    SELECT c.case_id, c.snapshot, c.event_id FROM commits c WHERE c.undecided = 0 AND c.event_id IS NOT NULL
    UNION ALL
    -- A fraud case is decided with its first confirmed transaction.
    SELECT d.finding_id, d.snapshot, d.event_id FROM steps.decision_event d WHERE d.sets_status AND d.status <> 'open'
    UNION ALL
    SELECT unhex(s.case_id), d.snapshot, d.event_id
    FROM steps.decision_event d
    JOIN steps.suspicion s ON s.event_id = d.finding_id
    WHERE d.sets_status AND d.status NOT IN ('open', 'dismissed')
),
last_closed AS (
    SELECT c.case_id, arg_max(c.event_id, (c.snapshot, c.event_id)) AS event_id FROM closed c GROUP BY c.case_id
)
SELECT
    c.case_id, 'case' AS type, c.kind, c.type AS case_type, c.status, c.pattern, c.party, c.open_impact, c.currency, c.owner, CAST(c.due_on AS VARCHAR) AS due_on, c.summary,
    if(c.open_micros = 0, 0, CAST(floor(log2(CAST(abs(c.open_micros) AS DOUBLE))) AS BIGINT)) AS size, NULL AS action, NULL AS reason, NULL AS decided_by,
    lower(hex(l.event_id)) AS decision_id
FROM queue c
LEFT JOIN last_closed l ON l.case_id = unhex(c.case_id)
-- Money at risk counts as well, because a bill with fraudulent usage is issued later.
WHERE c.status = 'open' AND greatest(abs(c.open_micros), coalesce(c.exposure, 0) * 1000000) >= $above
    AND (c.snoozed_until IS NULL OR c.snoozed_until <= CAST($now AS TIMESTAMPTZ))
UNION ALL
SELECT
    c.case_id, 'action', c.kind, c.type, c.status, c.pattern, c.party, c.open_impact, c.currency, c.owner, CAST(c.due_on AS VARCHAR), c.summary, NULL, d.action, d.note,
    d.decided_by, lower(hex(d.event_id))
FROM steps.decision_event d
JOIN queue c ON c.case_id = lower(hex(d.finding_id))
WHERE d.decision = 'requested'
ORDER BY ALL
