-- Services and currencies of the records in the log: of those reconciled from the sums the kernel keeps, of later ones from the
-- records themselves, which {usage} and {charge} hold. Grain: one service and currency. Owner: project checks.
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
    e.service,                          -- NULL: charges that name none
    e.currency,                         -- NULL: usage that is not reconciled yet
    bool_or(e.is_used) AS is_used,      -- usage of the service came
    bool_or(e.is_billed) AS is_billed   -- charges of the service in this currency came
FROM evidence AS e
GROUP BY e.service, e.currency
ORDER BY e.service, e.currency
