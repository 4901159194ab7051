-- The events that a validation checks: one day of a feed (of subscriptions the whole feed), as of a position, with readable ids.
-- Grain: one event.
-- Owner: quality.
SELECT
    e.* REPLACE (lower(hex(e.event_id)) AS event_id)
FROM lake.events.{stream} AS e
WHERE {condition}
