-- What a validation looks at: a day of a feed (a whole feed of states) as of a position, its ids readable. Grain: one event.
-- Owner: quality.
SELECT
    e.* REPLACE (lower(hex(e.event_id)) AS event_id)
FROM lake.events.{stream} AS e
WHERE {condition}
