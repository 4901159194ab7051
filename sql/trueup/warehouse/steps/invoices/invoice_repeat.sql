-- Invoices that bill an account for days that an earlier invoice bills too. Invoices that are replaced or credited as a whole do
-- not count.
-- Grain: one row per such invoice. Owner: warehouse.
WITH bills AS MATERIALIZED (
    SELECT s.* FROM steps.invoice_state s WHERE NOT s.is_replaced AND NOT s.is_credit AND NOT s.is_credited
)
SELECT
    b.event_id,                                   -- 16 bytes
    b.number, b.account, b.first_day, b.last_day, b.currency, b.total_micros,
    e.number AS earlier_number,                   -- number of the earlier invoice: one with the same days if there is one, else the earliest
    e.first_day = b.first_day AND e.last_day = b.last_day AS is_same -- whether both invoices have the same days
FROM bills b
JOIN bills e ON
    e.account = b.account AND e.first_day <= b.last_day AND b.first_day <= e.last_day
    AND (e.billed_at, e.number, e.event_id) < (b.billed_at, b.number, b.event_id)
QUALIFY row_number() OVER (PARTITION BY b.event_id ORDER BY is_same DESC, e.billed_at, e.number, e.event_id) = 1
