-- Charges by their ids, whole. Grain: one charge. Owner: simulate.
SELECT c.* FROM lake.events.charge c SEMI JOIN wanted w ON w.event_id = c.event_id ORDER BY c.event_id
