-- Services and currencies of the records in the log. Reconciled records are read from the ledger, later records from the relations
-- {usage} and {charge}. Grain: one service and currency. Owner: project checks.
WITH evidence AS (
    SELECT
        l.service,
        l.currency,
        bool_or(l.expected_micros <> 0 OR l.unrated_records <> 0) AS is_used,
        bool_or(l.billed_micros <> 0) AS is_billed
    FROM lake.events.ledger AS l
    GROUP BY l.service, l.currency
    UNION ALL
    SELECT u.service, NULL, true, false FROM {usage} AS u WHERE u.snapshot_id > $after GROUP BY u.service
    UNION ALL
    SELECT c.service, c.currency, false, true
    FROM {charge} AS c WHERE c.snapshot_id > $after GROUP BY c.service, c.currency
)
SELECT
    e.service,                          -- NULL for charges without a service
    e.currency,                         -- NULL for usage that is not reconciled yet
    bool_or(e.is_used) AS is_used,      -- whether the service has usage
    bool_or(e.is_billed) AS is_billed   -- whether the service has charges in this currency
FROM evidence AS e
GROUP BY e.service, e.currency
ORDER BY e.service, e.currency
