-- The decision in force on each finding, case or suspicious transaction with a decision that changes its status.
-- Grain: one row per subject with a decision. Owner: warehouse.
-- A decision on the case of a finding counts like a decision on the finding: the last one is in force.
SELECT
    d.finding_id,                                 -- 16 bytes
    arg_max(if(d.status = 'open', 'reopened', d.status), d.snapshot) AS decision, -- confirmed, dismissed, claimed, prevented, written_off or reopened
    arg_max_null(d.note, d.snapshot) AS note,     -- the note of the person; NULL without one
    arg_max_null(d.decided_by, d.snapshot) AS decided_by, -- name of the person who decided; NULL without one
    arg_max(d.decided_at, d.snapshot) AS decided_at, -- time of the decision
    max(d.snapshot) AS snapshot                   -- the commit of the decision
FROM steps.decision_on_finding d
WHERE d.sets_status
GROUP BY d.finding_id
