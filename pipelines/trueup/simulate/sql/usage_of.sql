-- Usage records by their ids, all columns. Grain: one usage record. Owner: simulate.
SELECT u.* FROM lake.events.usage u SEMI JOIN ids i ON i.event_id = u.event_id ORDER BY u.event_id
