-- The first position whose findings have the money of their booking. Grain: one row, NULL where none has. Owner: proof.
SELECT min(position) AS position FROM lake.events.finding WHERE booking_id IS NOT NULL
