-- Errors in the bills of a cycle: open findings and invoice findings of its accounts, by account, currency and kind.
-- Findings of no known account count in the cycle that begins on the first day of a month.
-- `accounts` is the result of `accounts.sql`, as JSON.
WITH accounts AS MATERIALIZED (
    SELECT unnest(from_json($accounts, '[{"account": "VARCHAR", "end_day": "DATE"}]'), recursive := TRUE)
),
spans AS MATERIALIZED (
    SELECT s.subscriber, s.account, s.first_day FROM steps.account_span s
),
open_findings AS (
    SELECT f.*, unhex(f.usage_event_id) AS usage_id, unhex(f.charge_event_id) AS charge_id
    FROM main.findings f
    JOIN main.finding_kinds k ON k.kind = f.kind AND k.evidence = 'proven'
    WHERE
        f.status IN ('open', 'confirmed') AND f.impact_micros <> 0
        AND (f.day IS NULL OR f.day BETWEEN CAST($cycle AS DATE) AND CAST($cycle AS DATE) + INTERVAL 63 DAY)
),
owned AS (
    SELECT
        f.kind, f.day, f.currency, f.impact_micros, f.provisional,
        coalesce(
            c.account, u.account,
            (SELECT arg_max(s.account, s.first_day) FROM spans s WHERE s.subscriber = f.subscriber AND (f.day IS NULL OR s.first_day <= f.day)),
            f.subscriber
        ) AS account
    FROM open_findings f
    LEFT JOIN lake.events.charge c ON c.event_id = f.charge_id
    LEFT JOIN lake.events.usage u ON u.event_id = f.usage_id
),
wrong AS (
    SELECT o.account, o.currency, o.kind, o.impact_micros, o.provisional, o.day, o.day AS end_day
    FROM owned o
    UNION ALL
    SELECT i.account, i.currency, i.kind, i.impact_micros, i.provisional, coalesce(i.period_from, n.first_day), NULL
    FROM main.invoice_findings i
    LEFT JOIN (
        SELECT d.number, min(d.first_day) AS first_day FROM steps.invoice_document d GROUP BY d.number
    ) n ON n.number = coalesce(i.other_number, i.number)
    WHERE $with_invoices
)
SELECT
    w.account, w.currency, w.kind, count(*) AS findings, count(*) FILTER (w.provisional) AS provisional,
    count(*) FILTER (w.impact_micros IS NULL) AS unknown,
    coalesce(steps.micros_as_money(sum(w.impact_micros) FILTER (w.impact_micros > 0)), 0) AS too_little,
    coalesce(steps.micros_as_money(-sum(w.impact_micros) FILTER (w.impact_micros < 0)), 0) AS too_much
FROM wrong w
LEFT JOIN accounts a ON a.account = w.account
WHERE
    CASE
        WHEN a.account IS NOT NULL THEN coalesce(w.day >= CAST($cycle AS DATE) AND w.day < a.end_day, TRUE)
        WHEN w.account IN (SELECT s.account FROM spans s) THEN FALSE
        -- No state of the subscription names an account, so no cycle day is known either.
        ELSE day(CAST($cycle AS DATE)) = 1
            AND coalesce(w.day >= CAST($cycle AS DATE) AND w.day < CAST($cycle AS DATE) + INTERVAL 1 MONTH, w.end_day IS NULL)
    END
GROUP BY ALL
ORDER BY w.account NULLS LAST, w.currency NULLS LAST, too_little + too_much DESC, w.kind
