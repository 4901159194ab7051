-- Findings that later records have not closed and that are in no case. The queue lists them beside the cases.
-- Grain: one row per finding. Owner: workbench.
SELECT f.finding_id, f.kind, f.service, f.subscriber, f.day, f.status, f.currency, f.impact, f.provisional
FROM memory.shown.findings f
WHERE f.stands AND f.case_id IS NULL AND f.control IS NULL
