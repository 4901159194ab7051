-- Money of findings that correcting charges recovered or returned.
-- Grain: one row per finding and position. Owner: warehouse.
-- A change by a correcting charge recovers the amount that it takes off the impact: all of it, or a part.
WITH changes AS (
    SELECT
        c.*, if(c.stands, c.impact_micros, 0) AS after_micros,
        lag(if(c.stands, c.impact_micros, 0), 1, 0) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS before_micros
    FROM steps.finding_change c
)
SELECT
    c.finding_id,                                 -- 16 bytes
    c.position,                                   -- the position of the correcting charge
    c.action,                                     -- revised: a part is recovered; resolved: all is recovered
    c.kind,                                       -- kind of the finding
    c.service,                                    -- service of the finding
    c.subscriber,                                 -- subscriber of the finding
    c.day,                                        -- day of the finding
    c.currency,                                   -- currency of the amounts
    c.before_micros,                              -- impact before the charge
    c.after_micros,                               -- impact after the charge; 0 where all is recovered
    c.before_micros - c.after_micros AS recovered_micros -- recovered money; positive: billed later; negative: credited
FROM changes c
WHERE c.cause = 'recovery' AND abs(c.after_micros) < abs(c.before_micros)
