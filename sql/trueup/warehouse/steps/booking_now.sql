-- The money of each booking that has open findings, as of its newest change.
-- Grain: one row per booking (a session, a charge without usage, or a billing period). Owner: warehouse.
-- Each change of any finding of a booking carries the money of the whole booking at its position.
SELECT
    c.booking_id,                                 -- 16 bytes, a hash of the subject
    arg_max(c.whole_expected_micros, c.position) AS expected_micros, -- money that should have been billed
    arg_max(c.whole_billed_micros, c.position) AS billed_micros, -- money that was billed
    arg_max(c.whole_tolerated_micros, c.position) AS tolerated_micros -- the part of expected - billed that is within tolerance
FROM steps.finding_change c
WHERE c.booking_id IS NOT NULL
GROUP BY c.booking_id
