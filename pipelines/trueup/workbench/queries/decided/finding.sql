-- Findings that the decisions concern: decided findings, and all findings of the cases concerned.
-- Grain: one row per finding. Owner: workbench.
SELECT
    f.rowid AS row,                               -- row number of the finding in the copy
    unhex(f.finding_id) AS finding_id,            -- 16 bytes
    f.changed_position AS position, f.action, f.stands, f.cause, f.kind, f.service, f.subscriber, f.day, f.started_at,
    f.impact_micros, f.currency, f.control, f.snapshot, f.provisional, unhex(f.case_id) AS case_id, f.filed_at, f.filed_snapshot
FROM copy.main.findings f
WHERE f.case_id IN (SELECT c.case_id FROM temp.main.concerned_case c) OR f.finding_id IN (SELECT s.id FROM temp.main.subject s)
