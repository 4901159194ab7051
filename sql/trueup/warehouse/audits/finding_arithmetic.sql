-- For each booking, the impacts of its findings plus the tolerated money equal expected - billed.
-- A row: a booking whose sum differs; or a finding with an impact that differs from its millionths, or without a currency or
-- identity. Cells with open findings of an earlier version, which have no booking, are left out.
WITH standing AS MATERIALIZED (
    SELECT
        f.finding_id, f.kind, f.service, f.day, f.currency, f.booking_id, f.control, f.impact_micros, f.whole_expected_micros,
        f.whole_billed_micros, f.whole_tolerated_micros
    FROM steps.finding_now f
    WHERE f.stands
),
earlier AS (
    SELECT DISTINCT f.service, f.day, f.currency
    FROM standing f
    WHERE f.booking_id IS NULL AND f.control IS NULL AND f.impact_micros <> 0
),
bookings AS (
    SELECT
        min(lower(hex(f.finding_id))) AS finding_id, any_value(f.whole_expected_micros) AS expected_micros,
        any_value(f.whole_billed_micros) AS billed_micros, any_value(f.whole_tolerated_micros) AS tolerated_micros,
        sum(f.impact_micros) AS impact_micros, any_value(f.currency) AS currency, string_agg(f.kind, ', ' ORDER BY f.kind) AS kinds
    FROM standing f
    WHERE f.booking_id IS NOT NULL AND NOT EXISTS (
        FROM earlier e
        WHERE e.service = f.service AND e.day IS NOT DISTINCT FROM f.day AND e.currency IS NOT DISTINCT FROM f.currency
    )
    GROUP BY f.booking_id
)
SELECT
    b.finding_id, steps.micros_as_money(b.expected_micros) AS expected, steps.micros_as_money(b.billed_micros) AS billed,
    steps.micros_as_money(b.impact_micros) AS impact, b.impact_micros, b.currency, b.kinds AS kind
FROM bookings b
WHERE b.expected_micros - b.billed_micros IS DISTINCT FROM b.impact_micros + b.tolerated_micros
UNION ALL
SELECT f.finding_id, f.expected, f.billed, f.impact, f.impact_micros, f.currency, f.kind
FROM main.findings f
WHERE steps.micros_as_money(f.impact_micros) IS DISTINCT FROM f.impact
    OR length(f.finding_id) <> 32 OR f.kind IS NULL OR f.revision IS NULL
    OR (f.impact <> 0 AND f.currency IS NULL)
