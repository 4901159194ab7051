-- No record's money is in two findings: each record is in at most one standing finding that bears money.
-- A row: a record in two of them.
SELECT r.stream, r.event_id, count(*) AS findings, list(f.finding_id ORDER BY f.finding_id) AS finding_ids
FROM main.finding_records r
JOIN main.findings f ON f.finding_id = r.finding_id
WHERE f.status NOT IN ('resolved', 'retracted') AND f.impact_micros <> 0
GROUP BY r.stream, r.event_id
HAVING count(*) > 1
