-- Every record that was ever part of a finding. Grain: one event. Owner: simulate.
SELECT DISTINCT unnest(list_concat(f.usage_event_ids, f.charge_event_ids, f.content_event_ids)) AS event_id
FROM lake.events.finding f
WHERE f.position <= $position
