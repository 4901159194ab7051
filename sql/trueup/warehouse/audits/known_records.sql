-- Every record of a finding is in the log.
-- A row: a record of a finding that is missing from the log.
WITH members AS (
    SELECT r.finding_id, r.stream, unhex(r.event_id) AS event_id FROM main.finding_records r
)
SELECT m.finding_id, m.stream, lower(hex(m.event_id)) AS event_id
FROM members m
WHERE NOT EXISTS (FROM lake.events.usage u WHERE u.event_id = m.event_id)
    AND NOT EXISTS (FROM lake.events.charge c WHERE c.event_id = m.event_id)
