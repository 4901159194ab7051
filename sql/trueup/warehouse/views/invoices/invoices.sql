-- Invoices and credit notes, with the sum of their charges, the declared tax and the remaining amount.
-- Grain: one row per record of an invoice or credit note; of several contents of one record the greatest counts. Owner: warehouse.
WITH lines AS (
    SELECT
        l.number, l.currency, l.named, if(l.number = l.first_number, l.amount_micros, NULL) AS amount_micros,
        if(l.number = l.first_number, l.lines, NULL) AS lines
    FROM steps.invoice_lines l
)
SELECT
    s.number,                                     -- number of the document, as charges name it in invoice_id
    if(s.is_credit, 'credit_note', 'invoice') AS kind, -- invoice or credit_note
    s.account,                                    -- account of the document
    s.first_day,                                  -- first day of the period; NULL on a credit note without a period
    s.last_day,                                   -- last day of the period
    s.billed_at,                                  -- when the document was issued, UTC
    s.due_at,                                     -- when the document is to be paid, UTC
    CASE
        WHEN s.is_replaced THEN 'replaced'
        WHEN s.is_credited THEN 'credited'
        ELSE 'standing'
    END AS status,                                -- standing (in force), replaced by another invoice, or credited as a whole
    s.refers_to,                                  -- of a credit note: the number of the credited invoice
    s.replaces,                                   -- the number of the invoice that this invoice replaces
    steps.micros_as_money(s.net_micros) AS net,   -- amount as billed
    steps.micros_as_money(s.tax_micros) AS tax,   -- amount as billed
    steps.micros_as_money(s.total_micros) AS total, -- amount as billed; negative on a credit note
    s.currency,                                   -- currency of all amounts
    l.lines AS charges,                           -- number of charges that name the invoice; NULL: none in the currency of the invoice, or they are shown at the first of several invoices that have them together
    steps.micros_as_money(l.amount_micros) AS charged, -- sum of these charges
    l.named AS lines_of,                          -- the number that these charges name: the invoice's own, or the number of the replaced invoice
    steps.micros_as_money(s.expected_tax_micros) AS expected_tax, -- the declared tax on net; NULL: no tax is declared for the currency and day
    steps.micros_as_money(s.credited_micros) AS credited, -- amount that credit notes take off the invoice: zero or negative
    steps.micros_as_money(s.remaining_micros) AS remaining, -- total + credited; 0 for a credit note and for a replaced invoice
    lower(hex(s.event_id)) AS event_id,           -- id in lower-case hex, for explain and verify
    s.source_id,                                  -- source unit of the record, as in source_units
    p.position,                                   -- the position of the commit
    p.committed_at AS known_at                    -- when the record was committed, UTC
FROM steps.invoice_state s
JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id
LEFT JOIN lines l ON l.number = s.number AND l.currency = s.currency
ORDER BY s.billed_at, s.number
