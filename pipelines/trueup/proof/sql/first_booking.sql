-- The first positions whose findings have the money of their booking, and the item that they are about.
-- Grain: one row, NULL where none has. Owner: proof.
SELECT
    min(position) FILTER (WHERE booking_id IS NOT NULL) AS booking_position,
    min(position) FILTER (WHERE item IS NOT NULL) AS item_position
FROM lake.events.finding
