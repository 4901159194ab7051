-- What is wrong with invoices, credit notes and the charges on them, as known at the position.
-- Grain: one row per kind, number or account and period, and currency. Owner: warehouse.
-- Rows follow from the log and the settings at each position; they are no events, so they have no history and no decisions.
WITH found AS (
    SELECT a.* FROM steps.invoice_amount_check a
    UNION ALL
    SELECT r.* FROM steps.invoice_reference_check r
    UNION ALL
    SELECT n.* FROM steps.invoice_number_check n
    UNION ALL
    SELECT c.* FROM steps.invoice_coverage_check c
)
SELECT
    left(sha256(concat_ws(
        ';', f.kind, coalesce(f.number, '~'), coalesce(f.other_number, '~'), coalesce(f.account, '~'), coalesce(CAST(f.period_from AS VARCHAR), '~'),
        coalesce(f.currency, '~'), coalesce(f.reason, '~')
    )), 32) AS invoice_finding_id,                -- a hash of what it is about, never of amounts
    f.kind,                                       -- what is wrong, see invoice_kinds
    f.number,                                     -- the invoice or credit note; of missing_number the one before the gap
    f.other_number,                               -- the one it is compared with: credited, billed before, or after the gap
    f.account,                                    -- the account; NULL where none is known
    CAST(f.period_from AS DATE) AS period_from,   -- first day of the period
    CAST(f.period_to AS DATE) AS period_to,       -- the day after its last one
    steps.micros_as_money(f.expected_micros) AS expected, -- what should stand there; NULL: the log does not tell
    steps.micros_as_money(f.billed_micros) AS billed, -- what stands there
    steps.micros_as_money(f.impact_micros) AS impact, -- expected - billed: positive is money not demanded, negative is too much; NULL: unknown, never zero
    CAST(f.impact_micros AS DECIMAL(38, 0)) AS impact_micros, -- the same in millionths
    f.currency,                                   -- of its amounts
    f.reason,                                     -- why, where there are several ways
    CAST(f.records AS BIGINT) AS records,         -- charges or invoices concerned; of missing_number the numbers that are missing
    f.provisional_reason IS NOT NULL AS provisional, -- whether what is missing may still come, so that it may vanish
    f.provisional_reason                          -- quarantined record or incomplete feed; NULL where it is not provisional
FROM found f
ORDER BY f.kind, f.account, f.number
