-- The findings of a case with the largest impact.
SELECT f.finding_id, f.kind, f.status, f.service, f.day, f.subscriber, f.node, f.impact, f.currency, f.reason, m.is_suppressed
FROM main.case_members m
JOIN main.findings f ON f.finding_id = m.member_id
WHERE m.case_id = $case_id AND f.status NOT IN ('resolved', 'retracted')
ORDER BY abs(f.impact_micros) DESC, f.day, f.finding_id
LIMIT $most
