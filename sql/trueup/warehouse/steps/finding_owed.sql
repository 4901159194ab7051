-- Findings whose money is still to be recovered or refunded.
-- Grain: one row per finding. Owner: warehouse.
-- Open and confirmed findings count. Findings that are claimed, prevented, written off, dismissed, resolved, retracted or
-- provisional do not count. Findings about feeds do not count either: exposure_by_day has their bounds.
SELECT
    f.finding_id,                                 -- 16 bytes
    f.cause,                                      -- cause of the last change
    f.kind,                                       -- kind of the finding
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- day in the project's time zone; NULL for charges without any date
    f.currency,                                   -- currency of the impact
    f.impact_micros                               -- positive: leakage, negative: overcharge
FROM steps.finding_now f
WHERE f.status IN ('open', 'confirmed') AND f.control IS NULL
    AND NOT EXISTS (FROM steps.finding_provisional p WHERE p.finding_id = f.finding_id)
