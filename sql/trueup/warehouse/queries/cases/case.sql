-- One case.
SELECT c.* FROM main.cases c WHERE c.case_id = $case_id
