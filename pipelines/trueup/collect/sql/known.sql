-- Ids of a part's events that the log already has. The day of an event is part of its content, so only the days of the part are
-- read. An event without a day is compared with events without a day. Grain: one id. Owner: collect.
SELECT DISTINCT e.event_id
FROM lake.events.{stream} AS e
WHERE ({days}) AND e.event_id IN (SELECT event_id FROM part)
