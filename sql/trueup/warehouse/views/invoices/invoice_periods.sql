-- Periods in which each account was active, with the invoice of each period, up to the day that the feed of invoices has reached.
-- Grain: one row per account and period. Owner: warehouse.
SELECT
    p.account,                                    -- the account; for a subscription without an account, the subscription
    p.period_from,                                -- first day of the period
    p.period_to,                                  -- the day after the last day of the period
    p.first_active_day,                           -- first day of the period with an active subscription
    p.subscriptions,                              -- number of active subscriptions in the period
    p.invoice,                                    -- number of the invoice that bills the period; NULL: none
    p.due_at,                                     -- end of the period plus grace, by which the invoice must have been issued, UTC
    CASE
        WHEN p.invoice IS NOT NULL THEN 'invoiced'
        WHEN p.is_due THEN 'missing'
        ELSE 'pending'
    END AS status                                 -- invoiced, missing, or pending until the feed of invoices has passed due_at
FROM steps.account_period p
ORDER BY p.period_from, p.account
