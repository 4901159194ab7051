-- Charges by their ids, all columns. Grain: one charge. Owner: simulate.
SELECT c.* FROM lake.events.charge c SEMI JOIN ids i ON i.event_id = c.event_id ORDER BY c.event_id
