-- Usage records by their ids, whole. Grain: one usage record. Owner: simulate.
SELECT u.* FROM lake.events.usage u SEMI JOIN wanted w ON w.event_id = u.event_id ORDER BY u.event_id
