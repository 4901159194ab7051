-- Every record a finding names is in the log.
-- A row: a member of a finding that the log does not hold.
WITH members AS (
    SELECT r.finding_id, r.stream, unhex(r.event_id) AS event_id FROM main.finding_records r
)
SELECT m.finding_id, m.stream, lower(hex(m.event_id)) AS event_id
FROM members m
WHERE NOT EXISTS (FROM lake.events.usage u WHERE u.event_id = m.event_id)
    AND NOT EXISTS (FROM lake.events.charge c WHERE c.event_id = m.event_id)
