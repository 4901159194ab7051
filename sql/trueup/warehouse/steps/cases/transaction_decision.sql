-- The decision in force on each suspicious transaction with a decision that changes its status.
-- Grain: one row per transaction and case with a decision. Owner: investigation.
-- The last decision is in force, be it on the transaction or on its case.
SELECT
    d.event_id,                                   -- id of the usage record, 16 bytes
    d.case_id,                                    -- the case of the transaction, in lower-case hex
    arg_max(d.status, d.snapshot) AS status       -- open, confirmed, dismissed, claimed, prevented or written_off
FROM steps.decision_on_transaction d
WHERE d.sets_status
GROUP BY d.event_id, d.case_id
