-- The records of each finding, as of its last change.
-- Grain: one row per finding, stream and record. Owner: warehouse.
WITH members AS (
    SELECT f.finding_id, 'usage' AS stream, unnest(f.usage_event_ids) AS event_id FROM steps.finding_now f
    UNION
    SELECT f.finding_id, 'charge', unnest(f.charge_event_ids) FROM steps.finding_now f
    UNION
    SELECT f.finding_id, if(f.kind = 'conflicting_charge', 'charge', 'usage'), unnest(f.content_event_ids) FROM steps.finding_now f
)
SELECT
    lower(hex(m.finding_id)) AS finding_id,       -- the finding, as in findings
    m.stream,                                     -- usage or charge: the stream of the record
    lower(hex(m.event_id)) AS event_id            -- the record; of a conflict, each delivered content
FROM members m
