-- Invoices and credit notes, with the sum of their charges, the declared tax and what remains of them.
-- Grain: one row per record of an invoice or credit note; of several contents of one record the greatest counts. Owner: warehouse.
WITH lines AS (
    SELECT
        l.number, l.currency, any_value(l.amount_micros) AS amount_micros, any_value(l.lines) AS lines, any_value(l.named) AS named
    FROM steps.invoice_lines l
    GROUP BY l.number, l.currency
)
SELECT
    s.number,                                     -- as charges name it in invoice_id
    if(s.is_credit, 'credit_note', 'invoice') AS kind, -- invoice or credit_note
    s.account,                                    -- the account it is for
    s.first_day,                                  -- first day of its period; NULL on a credit note without one
    s.last_day,                                   -- last day of its period
    s.billed_at,                                  -- when it was issued, UTC
    s.due_at,                                     -- when it is to be paid, UTC
    CASE
        WHEN s.is_replaced THEN 'replaced'
        WHEN s.is_credited THEN 'credited'
        ELSE 'standing'
    END AS status,                                -- standing, replaced by another one, or credited as a whole
    s.refers_to,                                  -- of a credit note: the number of the invoice that it credits
    s.replaces,                                   -- the number of the one that it was issued again for
    steps.micros_as_money(s.net_micros) AS net,   -- as billed
    steps.micros_as_money(s.tax_micros) AS tax,   -- as billed
    steps.micros_as_money(s.total_micros) AS total, -- as billed; negative on a credit note
    s.currency,                                   -- of all its amounts
    l.lines AS charges,                           -- number of charges that name it; NULL: none of its currency
    steps.micros_as_money(l.amount_micros) AS charged, -- their sum
    l.named AS lines_of,                          -- the number that these charges name: its own, or the one that it replaces
    steps.micros_as_money(s.expected_tax_micros) AS expected_tax, -- the declared tax of net; NULL: none is declared for its currency and day
    steps.micros_as_money(s.credited_micros) AS credited, -- what credit notes take off it: zero or negative
    steps.micros_as_money(s.remaining_micros) AS remaining, -- total + credited; 0 for a credit note and for one that was replaced
    lower(hex(s.event_id)) AS event_id,           -- its id in lower-case hex, for explain and verify
    s.source_id,                                  -- its source unit, as in source_units
    p.position,                                   -- the position of its commit
    p.committed_at AS known_at                    -- when it was committed, UTC
FROM steps.invoice_state s
JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id
LEFT JOIN lines l ON l.number = s.number AND l.currency = s.currency
ORDER BY s.billed_at, s.number
