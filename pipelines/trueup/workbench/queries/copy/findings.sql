-- Findings with the case of each finding and the columns from which its status follows after a decision. Columns that no page reads
-- are left out.
-- Grain: one row per finding. Owner: workbench.
SELECT
    f.* EXCLUDE (usage_event_id, charge_event_id, revision, raised_position, provisional_reason, item, period_from, period_to),
    coalesce(f.usage_event_id, f.charge_event_id) IS NOT NULL AS has_record, -- whether the finding is about records
    n.action,                                     -- the action of the last change
    n.stands,                                     -- whether the finding is open or decided, and not closed by later records
    n.snapshot,                                   -- the commit of the last change
    lower(hex(c.case_id)) AS case_id,             -- the case of the finding; NULL without a case
    c.filed_at,                                   -- when the finding was filed in the case
    c.snapshot AS filed_snapshot                  -- the commit that filed the finding
FROM main.findings f
JOIN steps.finding_now n ON n.finding_id = unhex(f.finding_id)
LEFT JOIN steps.case_filing c ON c.finding_id = n.finding_id AND c.until_snapshot IS NULL
