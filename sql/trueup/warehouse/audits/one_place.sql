-- No money is counted twice: each record belongs to at most one open finding with an impact.
-- A row: a record that belongs to two.
SELECT r.stream, r.event_id, count(*) AS findings, list(f.finding_id ORDER BY f.finding_id) AS finding_ids
FROM main.finding_records r
JOIN main.findings f ON f.finding_id = r.finding_id
WHERE f.status NOT IN ('resolved', 'retracted') AND f.impact_micros <> 0
GROUP BY r.stream, r.event_id
HAVING count(*) > 1
