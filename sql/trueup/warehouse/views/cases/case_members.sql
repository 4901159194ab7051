-- The members of each case: the findings of a root cause, or the suspicious transactions of a fraud case.
-- Grain: one row per case and member; a finding is a member of one case at most. Owner: investigation.
SELECT
    lower(hex(f.case_id)) AS case_id,             -- id of the case
    'root_cause' AS type,                         -- root_cause or fraud
    lower(hex(f.finding_id)) AS member_id,        -- the finding_id, or the event_id of the transaction
    f.filed_at,                                   -- when the finding was filed; of a transaction, its own time
    coalesce(d.is_suppressed, false) AS is_suppressed -- whether a dismissal of the pattern hides the finding
FROM steps.case_filing f
LEFT JOIN (
    SELECT s.finding_id, arg_max(s.is_suppressed, s.snapshot) AS is_suppressed
    FROM steps.decision_on_finding s
    WHERE s.sets_status
    GROUP BY s.finding_id
) d ON d.finding_id = f.finding_id
WHERE f.until_snapshot IS NULL
UNION ALL
SELECT s.case_id, 'fraud', lower(hex(s.event_id)), s.started_at, false FROM steps.suspicion s
