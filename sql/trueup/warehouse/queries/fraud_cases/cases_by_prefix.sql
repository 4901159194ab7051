-- Fraud cases whose id begins with a text.
SELECT c.* FROM main.cases c WHERE c.type = 'fraud' AND starts_with(c.case_id, $prefix) ORDER BY c.case_id
