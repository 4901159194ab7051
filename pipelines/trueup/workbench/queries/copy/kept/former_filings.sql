-- Former filings of findings that were filed elsewhere later. The filing that counts is in `findings`.
-- Grain: one row per finding and former filing. Owner: workbench.
SELECT f.* FROM steps.case_filing f WHERE f.until_snapshot IS NOT NULL
