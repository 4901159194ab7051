-- Money still to be recovered or refunded, by day.
-- Grain: one row per service, day, currency and kind. Owner: warehouse.
-- Only the findings of steps.finding_owed count: open or confirmed, and not provisional.
SELECT
    f.service,                                    -- '' for charges without a service
    f.day,                                        -- day in the project's time zone; NULL for charges without any date
    f.currency,                                   -- currency of the amounts
    f.kind,                                       -- kind of the finding
    count(*) AS findings,                         -- number of findings
    steps.micros_as_money(coalesce(sum(f.impact_micros) FILTER (WHERE f.impact_micros > 0), 0)) AS leakage, -- money earned and not billed
    steps.micros_as_money(coalesce(-sum(f.impact_micros) FILTER (WHERE f.impact_micros < 0), 0)) AS overcharge, -- money billed and not earned, as a positive amount
    steps.micros_as_money(coalesce(sum(f.impact_micros), 0)) AS impact, -- leakage - overcharge
    coalesce(sum(f.impact_micros), 0) AS impact_micros -- the same amount in millionths
FROM steps.finding_owed f
GROUP BY f.service, f.day, f.currency, f.kind
ORDER BY f.day, f.service, f.currency, f.kind
