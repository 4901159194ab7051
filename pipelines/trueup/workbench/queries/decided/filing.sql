-- All filings of the findings concerned, in place of the step `case_filing`.
-- Grain: one row per finding and filing. Owner: workbench.
SELECT f.finding_id, f.case_id, f.filed_at, f.filed_snapshot AS snapshot, NULL::BIGINT AS until_snapshot
FROM temp.main.concerned_finding f
WHERE f.case_id IS NOT NULL
UNION ALL BY NAME
SELECT o.* FROM copy.kept.former_filings o SEMI JOIN temp.main.concerned_finding f ON f.finding_id = o.finding_id
