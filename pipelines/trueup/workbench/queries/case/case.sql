-- One case.
SELECT c.* FROM cases c WHERE c.case_id = $id
