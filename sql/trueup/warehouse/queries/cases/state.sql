-- The state of every finding as of a position or time, in the columns that a comparison of two states needs.
-- Grain: one row per finding ever raised by reconciliation or a control.
SELECT
    f.finding_id, f.kind, f.service, f.day, f.currency, f.stands, if(f.stands, f.impact_micros, 0) AS micros, f.cause, f.status,
    f.changed_position
FROM steps.finding_now f
