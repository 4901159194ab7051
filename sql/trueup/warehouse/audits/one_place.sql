-- No money is counted twice: each record belongs to at most one open finding with an impact.
-- A row: a record that belongs to two such findings.
SELECT r.stream, r.event_id, count(*) AS findings, list(r.finding_id ORDER BY r.finding_id) AS finding_ids
FROM main.finding_records r
JOIN steps.finding_now f ON lower(hex(f.finding_id)) = r.finding_id
WHERE f.stands AND f.impact_micros <> 0
GROUP BY r.stream, r.event_id
HAVING count(*) > 1
