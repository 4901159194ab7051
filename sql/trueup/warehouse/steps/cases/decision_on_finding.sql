-- Every decision that concerns a finding: decisions on the finding, and decisions on the case in which it was filed.
-- Grain: one row per finding and decision that moves money or changes the status. Owner: investigation.
-- A decision on a case applies to the findings filed before it. A dismissal with suppression also applies to findings filed within
-- its time, until the next decision on the case.
SELECT
    d.finding_id, NULL AS case_id, d.event_id, d.decision, d.note, d.decided_by, d.decided_at, d.snapshot, d.status, d.account,
    d.sets_status, d.amount_micros, false AS is_suppressed
FROM steps.decision_event d
WHERE d.status IS NOT NULL
UNION ALL
SELECT
    f.finding_id, f.case_id, d.event_id, d.decision, d.note, d.decided_by, d.decided_at, d.snapshot, d.status, d.account,
    d.sets_status, d.amount_micros, f.snapshot > d.snapshot
FROM steps.decision_event d
JOIN steps.case_filing f ON f.case_id = d.finding_id
WHERE d.status IS NOT NULL
    AND (
        (f.snapshot <= d.snapshot AND d.snapshot < coalesce(f.until_snapshot, 9223372036854775807))
        OR (
            d.suppress_until IS NOT NULL AND d.snapshot < f.snapshot AND f.filed_at < d.suppress_until
            AND f.snapshot < coalesce(d.next_snapshot, 9223372036854775807)
        )
    )
