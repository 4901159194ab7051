-- Findings with the case of each, and what their status follows from when a person decides; without columns that no page reads.
-- Grain: one row per finding. Owner: workbench.
SELECT
    f.* EXCLUDE (usage_event_id, charge_event_id, revision, raised_position, provisional_reason, item, period_from, period_to),
    coalesce(f.usage_event_id, f.charge_event_id) IS NOT NULL AS has_record, -- whether it is about records
    n.action,                                     -- what last happened to it
    n.stands,                                     -- whether it is open or decided, and not closed by later records
    n.snapshot,                                   -- the commit of its last change
    lower(hex(c.case_id)) AS case_id,             -- the case it is filed in; NULL without one
    c.filed_at,                                   -- when it was filed
    c.snapshot AS filed_snapshot                  -- the commit that filed it
FROM main.findings f
JOIN steps.finding_now n ON n.finding_id = unhex(f.finding_id)
LEFT JOIN steps.case_filing c ON c.finding_id = n.finding_id AND c.until_snapshot IS NULL
