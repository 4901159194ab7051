-- Money that correcting charges recovered, or returned where the finding was an overcharge. A correcting charge names the finding
-- or record that it corrects.
-- Grain: one row per finding and position at which such a charge lowered the impact of the finding. Owner: warehouse.
SELECT
    lower(hex(r.finding_id)) AS finding_id,       -- the finding, as in findings
    r.kind,                                       -- kind of the finding
    r.service,                                    -- service of the finding
    r.subscriber,                                 -- subscriber of the finding
    r.day,                                        -- day of the finding
    r.position,                                   -- the position of the log at which the charge arrived
    p.committed_at,                               -- when the position was committed, UTC
    r.action = 'revised' AS is_partial,           -- whether a part of the impact is still open
    steps.micros_as_money(r.before_micros) AS impact_before, -- impact before the charge
    steps.micros_as_money(r.after_micros) AS impact_after, -- impact after the charge; 0 where all is recovered
    steps.micros_as_money(r.recovered_micros) AS recovered, -- impact_before - impact_after; negative: a credit of an overcharge
    CAST(r.recovered_micros AS DECIMAL(38, 0)) AS recovered_micros, -- the same amount in millionths
    r.currency                                    -- currency of the amounts
FROM steps.recovery r
JOIN lake.events.position p ON p.position = r.position
ORDER BY r.position, r.finding_id
