-- Periods in which each account was active, with the invoice that bills each, up to the day to which the feed of invoices has come.
-- Grain: one row per account and period. Owner: warehouse.
SELECT
    p.account,                                    -- the account; of a subscription without one, the subscription
    p.period_from,                                -- first day of the period
    p.period_to,                                  -- the day after its last one
    p.first_active_day,                           -- its first day with an active subscription
    p.subscriptions,                              -- number of its active subscriptions
    p.invoice,                                    -- the number of the invoice that bills it; NULL: none
    p.due_at,                                     -- when its invoice must have been issued: end and grace, UTC
    CASE
        WHEN p.invoice IS NOT NULL THEN 'invoiced'
        WHEN p.is_due THEN 'missing'
        ELSE 'pending'
    END AS status                                 -- invoiced, missing, or pending until the feed of invoices has passed due_at
FROM steps.account_period p
ORDER BY p.period_from, p.account
