-- One case of a root cause, with the columns on which a merge or a split depends.
SELECT r.kind, r.currency, CAST(r.pattern AS VARCHAR) AS pattern, r.status, r.merged_into
FROM steps.root_cause r
WHERE r.case_id = unhex($case_id)
