-- Money still to be recovered or refunded, by kind of finding and cause of its last change.
-- Grain: one row per cause, kind, service and currency. Owner: warehouse.
-- Only the findings of steps.finding_owed count: open or confirmed, and not provisional.
SELECT
    f.cause,                                      -- cause of the last change: frontier, arrival, late_usage, late_charge, …
    f.kind,                                       -- kind of the finding
    f.service,                                    -- '' for charges without a service
    f.currency,                                   -- currency of the amounts
    count(*) AS findings,                         -- number of findings
    steps.micros_as_money(coalesce(sum(f.impact_micros) FILTER (WHERE f.impact_micros > 0), 0)) AS leakage, -- money earned and not billed
    steps.micros_as_money(coalesce(-sum(f.impact_micros) FILTER (WHERE f.impact_micros < 0), 0)) AS overcharge, -- money billed and not earned, as a positive amount
    steps.micros_as_money(coalesce(sum(f.impact_micros), 0)) AS impact, -- leakage - overcharge
    coalesce(sum(f.impact_micros), 0) AS impact_micros -- the same amount in millionths
FROM steps.finding_owed f
GROUP BY f.cause, f.kind, f.service, f.currency
ORDER BY f.cause, f.kind, f.service, f.currency
