-- Messages to send: open cases with enough undecided money, and requests for actions.
-- Grain: one row per message. Owner: investigation.
-- A case is reported again when its status changes, or when its undecided money has doubled since the last message.
SELECT
    c.case_id, 'case' AS type, c.kind, c.type AS case_type, c.status, c.pattern, c.party, c.open_impact, c.currency, c.owner, CAST(c.due_on AS VARCHAR) AS due_on, c.summary,
    if(c.open_micros = 0, 0, CAST(floor(log2(CAST(abs(c.open_micros) AS DOUBLE))) AS BIGINT)) AS size, NULL AS action, NULL AS reason, NULL AS decided_by,
    NULL AS decision_id
FROM main.cases c
-- Money at risk counts as well, because a bill with fraudulent usage is issued later.
WHERE c.status = 'open' AND greatest(abs(c.open_micros), coalesce(c.exposure, 0) * 1000000) >= $above
    AND (c.snoozed_until IS NULL OR c.snoozed_until <= CAST($now AS TIMESTAMPTZ))
UNION ALL
SELECT
    c.case_id, 'action', c.kind, c.type, c.status, c.pattern, c.party, c.open_impact, c.currency, c.owner, CAST(c.due_on AS VARCHAR), c.summary, NULL, d.action, d.note,
    d.decided_by, lower(hex(d.event_id))
FROM steps.decision_event d
JOIN main.cases c ON c.case_id = lower(hex(d.finding_id))
WHERE d.decision = 'requested'
ORDER BY ALL
