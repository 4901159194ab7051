-- Ids of a part's events that the log has already. An event's day is part of its content, so that only the days of the part
-- are read; an event without a day is looked up among its like. Grain: one id. Owner: collect.
SELECT DISTINCT e.event_id
FROM lake.events.{stream} AS e
WHERE ({days}) AND e.event_id IN (SELECT event_id FROM part)
