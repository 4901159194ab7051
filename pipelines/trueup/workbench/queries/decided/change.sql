-- All changes of the findings concerned, in place of the step `finding_change`. The money of whole bookings is left out, because no
-- decision changes it.
-- Grain: one row per finding and position. Owner: workbench.
WITH changes AS (
    SELECT c.* FROM copy.kept.changes c SEMI JOIN temp.main.concerned_finding f ON f.finding_id = c.finding_id
    UNION ALL BY NAME
    SELECT f.* EXCLUDE (row, provisional, case_id, filed_at, filed_snapshot)
    FROM temp.main.concerned_finding f
    ANTI JOIN copy.kept.changes c ON c.finding_id = f.finding_id
)
SELECT
    c.*, NULL::DECIMAL(38, 0) AS expected_micros, NULL::DECIMAL(38, 0) AS billed_micros, NULL::BLOB AS booking_id,
    NULL::DECIMAL(38, 0) AS whole_expected_micros, NULL::DECIMAL(38, 0) AS whole_billed_micros,
    NULL::DECIMAL(38, 0) AS whole_tolerated_micros, []::BLOB[] AS charge_event_ids
FROM changes c
