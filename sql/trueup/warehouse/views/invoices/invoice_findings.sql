-- Errors in invoices, in credit notes and in the charges on them, as known at the position.
-- Grain: one row per kind, number or account and period, and currency. Owner: warehouse.
-- The rows follow from the log and the settings at each position. They are no events, so they have no history and no decisions.
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
    )), 32) AS invoice_finding_id,                -- a hash of the subject of the finding, never of amounts
    f.kind,                                       -- kind of the finding, as in invoice_kinds
    f.number,                                     -- number of the invoice or credit note; of missing_number, the number before the gap
    f.other_number,                               -- number of the document compared: credited, billed before, or after the gap
    f.account,                                    -- the account; NULL where the account is unknown
    CAST(f.period_from AS DATE) AS period_from,   -- first day of the period
    CAST(f.period_to AS DATE) AS period_to,       -- the day after the last day of the period
    steps.micros_as_money(f.expected_micros) AS expected, -- the amount or value that should be there; NULL where the log does not show it
    steps.micros_as_money(f.billed_micros) AS billed, -- the amount or value that is there
    steps.micros_as_money(f.impact_micros) AS impact, -- expected - billed: positive is money not demanded, negative is too much; NULL: unknown, never zero
    CAST(f.impact_micros AS DECIMAL(38, 0)) AS impact_micros, -- the same amount in millionths
    f.currency,                                   -- currency of the amounts
    f.reason,                                     -- reason of the finding, where its kind has several
    CAST(f.records AS BIGINT) AS records,         -- number of charges or invoices concerned; of missing_number, how many numbers are missing
    f.provisional_reason IS NOT NULL AS provisional, -- whether the missing record may still arrive, so that the finding may vanish
    f.provisional_reason                          -- quarantined record or incomplete feed; NULL for a finding that is not provisional
FROM found f
ORDER BY f.kind, f.account, f.number
