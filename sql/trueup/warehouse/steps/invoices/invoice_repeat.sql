-- Invoices that bill an account for days that an earlier invoice bills too. Invoices that are replaced or credited as a whole do
-- not count. Parts of a split, which replaced one invoice, are compared with its charges instead, if charges name invoices.
-- Grain: one row per such invoice. Owner: warehouse.
WITH bills AS MATERIALIZED (
    SELECT s.*, if(r.has_lines, n.family, s.number) AS unit
    FROM steps.invoice_state s
    JOIN (SELECT DISTINCT n.number, n.family FROM steps.invoice_succession n) n ON n.number = s.number
    CROSS JOIN steps.invoice_rule r
    WHERE NOT s.is_replaced AND NOT s.is_credit AND NOT s.is_credited
)
SELECT
    b.event_id,                                   -- 16 bytes
    b.number, b.account, b.first_day, b.last_day, b.currency,
    b.remaining_micros,                           -- total of the later invoice less its credit notes
    e.number AS earlier_number,                   -- number of the earlier invoice: one with the same days if there is one, else the earliest
    e.first_day = b.first_day AND e.last_day = b.last_day AS is_same -- whether both invoices have the same days
FROM bills b
JOIN bills e ON
    e.account = b.account AND e.first_day <= b.last_day AND b.first_day <= e.last_day
    AND (e.number = b.number OR e.unit <> b.unit)
    AND (e.billed_at, e.number, e.event_id) < (b.billed_at, b.number, b.event_id)
QUALIFY row_number() OVER (PARTITION BY b.event_id ORDER BY is_same DESC, e.billed_at, e.number, e.event_id) = 1
