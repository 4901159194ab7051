-- The findings and transactions of each case.
SELECT md5(concat_ws(';', f.kind, f.service, f.reason, f.currency)) AS case_id, 'root_cause' AS type, f.finding_id AS member_id
FROM main.findings f
WHERE f.status NOT IN ('resolved', 'retracted') AND f.control IS NULL
UNION ALL
SELECT t.case_id, 'fraud', t.event_id FROM main.suspicious_transactions t
