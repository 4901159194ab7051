-- Every decision that concerns a suspicious transaction: decisions on the transaction, and decisions on its case.
-- Grain: one row per transaction, case and decision that moves money or changes the status. Owner: investigation.
-- A decision on a transaction is about the party first accused. A decision on a case applies to the transactions that were scored
-- before it.
WITH subjects AS (
    SELECT
        s.event_id, s.case_id, s.is_first, s.started_at, s.scored_snapshot,
        unnest([{'id': s.event_id, 'is_case': false}, {'id': unhex(s.case_id), 'is_case': true}]) AS subject
    FROM steps.suspicion s
)
SELECT
    s.event_id,                                   -- id of the usage record, 16 bytes
    s.case_id,                                    -- the case of the transaction that the decision concerns, in lower-case hex
    s.subject.is_case AS is_on_case,              -- whether the subject of the decision is the case
    d.decision,                                   -- name of the decision, as recorded
    d.decided_by,                                 -- name of the person who decided
    d.decided_at,                                 -- time of the decision
    d.snapshot,                                   -- the commit of the decision
    d.status,                                     -- the status that the decision sets
    d.account,                                    -- the account to which the decision moves money; NULL where it moves none
    d.sets_status,                                -- whether the decision changes the status; a decision about a part of the money does not
    d.amount_micros                               -- the amount that the decision is about; NULL: all money
FROM subjects s
JOIN steps.decision_event d ON d.finding_id = s.subject.id
WHERE d.status IS NOT NULL
    AND if(s.subject.is_case, s.started_at <= d.decided_at AND s.scored_snapshot < d.snapshot, s.is_first)
