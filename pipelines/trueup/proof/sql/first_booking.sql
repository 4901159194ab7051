-- The first position at which a finding has the money of its booking, and the first at which a finding has an item.
-- Grain: one row. A position is NULL where no finding has the value. Owner: proof.
SELECT
    min(position) FILTER (WHERE booking_id IS NOT NULL) AS booking_position,
    min(position) FILTER (WHERE item IS NOT NULL) AS item_position
FROM lake.events.finding
