-- All decisions on one finding and on the case in which the finding was filed, oldest first.
WITH decided AS (
    SELECT d.decision, d.note, d.decided_by, d.decided_at, d.snapshot FROM steps.decision_event d WHERE d.finding_id = unhex($finding_id)
    UNION ALL
    SELECT d.decision, d.note, d.decided_by, d.decided_at, d.snapshot FROM steps.decision_on_finding d
    WHERE d.finding_id = unhex($finding_id) AND d.case_id IS NOT NULL
)
SELECT d.decision, d.note, d.decided_by, d.decided_at FROM decided d ORDER BY d.snapshot
