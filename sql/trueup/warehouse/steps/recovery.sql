-- Money of findings that correcting charges brought back or returned.
-- Grain: one row per finding and position. Owner: warehouse.
-- A change by a correcting charge recovers as much as it takes from the impact: all of it, or a part.
WITH changes AS (
    SELECT
        c.*, if(c.stands, c.impact_micros, 0) AS after_micros,
        lag(if(c.stands, c.impact_micros, 0), 1, 0) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS before_micros
    FROM steps.finding_change c
)
SELECT
    c.finding_id,                                 -- 16 bytes
    c.position,                                   -- the position of the correcting charge
    c.action,                                     -- revised: a part of it; resolved: all of it
    c.kind,                                       -- what was wrong
    c.service,                                    -- of the finding
    c.subscriber,                                 -- of the finding
    c.day,                                        -- of the finding
    c.currency,                                   -- of the amounts
    c.before_micros,                              -- its impact before
    c.after_micros,                               -- its impact after; 0 where all is recovered
    c.before_micros - c.after_micros AS recovered_micros -- positive: billed later; negative: credited
FROM changes c
WHERE c.cause = 'recovery' AND abs(c.after_micros) < abs(c.before_micros)
