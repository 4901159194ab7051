-- The impact shown is expected - billed, and the three agree with their millionths.
-- A row: a finding of which that is not so, or which lacks a currency or a part of its identity.
SELECT f.finding_id, f.expected, f.billed, f.impact, f.impact_micros, f.currency, f.kind
FROM main.findings f
WHERE f.impact IS DISTINCT FROM f.expected - f.billed
    OR steps.micros_as_money(f.impact_micros) IS DISTINCT FROM f.impact
    OR length(f.finding_id) <> 32 OR f.kind IS NULL OR f.revision IS NULL
    OR (f.impact <> 0 AND f.currency IS NULL)
