-- Findings that stand and are filed in no case, from the tables of the copy itself: the queue lists them beside the cases.
SELECT f.finding_id, f.kind, f.service, f.subscriber, f.day, f.status, f.currency, f.impact, f.provisional
FROM copy.main.findings f
ANTI JOIN copy.main.case_members m ON m.member_id = f.finding_id
WHERE f.status NOT IN ('resolved', 'retracted') AND f.control IS NULL
