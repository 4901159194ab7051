-- The records of each finding, as of its last change.
-- Grain: one row per finding, stream and record. Owner: warehouse.
WITH lists AS (
    SELECT
        f.finding_id,
        unnest([
            {'stream': 'usage', 'event_ids': f.usage_event_ids},
            {'stream': 'charge', 'event_ids': f.charge_event_ids},
            {'stream': if(f.kind = 'conflicting_charge', 'charge', 'usage'), 'event_ids': f.content_event_ids}
        ]) AS members
    FROM steps.finding_now f
),
members AS (
    SELECT DISTINCT l.finding_id, l.members.stream AS stream, unnest(l.members.event_ids) AS event_id FROM lists l
)
SELECT
    lower(hex(m.finding_id)) AS finding_id,       -- the finding, as in findings
    m.stream,                                     -- usage or charge: the stream of the record
    lower(hex(m.event_id)) AS event_id            -- id of the record; of a conflict, each delivered content
FROM members m
