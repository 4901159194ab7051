-- Findings whose money is still to be recovered or refunded.
-- Grain: one row per finding. Owner: warehouse.
-- Open and confirmed findings count. Those claimed, prevented, written off, dismissed, resolved or retracted do not, nor provisional ones (see findings), nor
-- findings about feeds: exposure_by_day has their bounds.
SELECT
    f.finding_id,                                 -- 16 bytes
    f.cause,                                      -- cause of the last change
    f.kind,                                       -- what is wrong
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- in the project's time zone; NULL for charges without any date
    f.currency,                                   -- of the impact
    f.impact_micros                               -- positive: leakage, negative: overcharge
FROM steps.finding_now f
WHERE f.status IN ('open', 'confirmed') AND f.control IS NULL
    AND NOT EXISTS (FROM steps.finding_provisional p WHERE p.finding_id = f.finding_id)
