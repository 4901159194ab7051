-- Number of the given rejected records that have been mapped again. Grain: one row. Owner: collect.
SELECT count(*) FROM lake.events.recycling AS r WHERE r.event_id IN (SELECT c.event_id FROM claims AS c)
