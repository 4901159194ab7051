-- The findings that are filed in a case at present.
SELECT f.finding_id FROM steps.case_filing f WHERE f.case_id = unhex($case_id) AND f.until_snapshot IS NULL ORDER BY f.finding_id
