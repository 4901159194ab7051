-- Errors in the bills of a cycle: open findings and invoice findings of its accounts, by account, currency and kind.
-- Findings of no known account count in the cycle that begins on the first day of a month. A finding about the sum of a billing
-- cycle counts in the account's period of that cycle, and one about another sum in each period with days of the sum.
-- `accounts` is the result of `accounts.sql`, as JSON.
WITH accounts AS MATERIALIZED (
    SELECT unnest(from_json($accounts, '[{"account": "VARCHAR", "end_day": "DATE", "whole_days": ["DATE"]}]'), recursive := TRUE)
),
spans AS MATERIALIZED (
    SELECT
        s.*, coalesce(s.last_day, DATE '9999-12-31') AS until_day,
        row_number() OVER (PARTITION BY s.subscriber ORDER BY s.first_day DESC) = 1 AS is_last
    FROM steps.account_span s
),
rules AS MATERIALIZED (
    FROM steps.match_rule
),
zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
open_findings AS (
    SELECT
        f.*, unhex(f.usage_event_id) AS usage_id, unhex(f.charge_event_id) AS charge_id,
        -- The period of the sum that the finding is about; NULL for a finding about single records or an item.
        CASE WHEN f.item IS NULL AND coalesce(own.by_period, other.by_period, FALSE) THEN coalesce(own.period, other.period) END AS sum_period,
        z.name AS zone
    FROM main.findings f
    JOIN main.finding_kinds k ON k.kind = f.kind AND k.evidence = 'proven'
    CROSS JOIN zone z
    LEFT JOIN rules own ON own.service = f.service
    LEFT JOIN rules other ON other.service IS NULL
    WHERE f.status IN ('open', 'confirmed') AND f.impact_micros <> 0 AND coalesce(f.day < CAST($cycle AS DATE) + INTERVAL 63 DAY, TRUE)
),
spread AS (
    SELECT
        f.*,
        CASE f.sum_period
            WHEN 'week' THEN f.day + 6
            WHEN 'month' THEN CAST(f.day + INTERVAL 1 MONTH AS DATE) - 1
            WHEN 'cycle' THEN CAST(f.day + INTERVAL 1 MONTH AS DATE) - 1
            ELSE greatest(f.day, DATE '1970-01-01' + CAST(
                ((steps.period_number(f.started_at, f.sum_period, f.zone) + 1) * TRY_CAST(f.sum_period AS BIGINT) - 1) // 86400000000 AS INTEGER
            ))
        END AS last_day
    FROM open_findings f
),
owned AS (
    SELECT
        f.kind, f.day, f.last_day, f.sum_period, f.currency, f.impact_micros, f.provisional,
        coalesce(
            c.account, u.account,
            (SELECT arg_max(s.account, s.first_day) FROM spans s WHERE s.subscriber = f.subscriber AND (f.day IS NULL OR s.first_day <= f.last_day)),
            f.subscriber
        ) AS account
    FROM spread f
    LEFT JOIN lake.events.charge c ON c.event_id = f.charge_id
    LEFT JOIN lake.events.usage u ON u.event_id = f.usage_id
    WHERE coalesce(f.last_day >= CAST($cycle AS DATE), TRUE)
),
wrong AS (
    SELECT
        o.account, o.currency, o.kind, o.impact_micros, o.provisional, o.day, o.last_day,
        -- Whether some period of the account is part of the cycle that begins on the day. Usage of a time without an active state may
        -- be in another cycle.
        o.sum_period = 'cycle' AND EXISTS (
            FROM spans s
            WHERE
                s.account = o.account AND steps.cycle_begin_day(steps.cycle_number(o.day, s.cycle_day), s.cycle_day) = o.day
                AND greatest(s.first_day, s.cycle_from_day) < steps.cycle_begin_day(steps.cycle_number(o.day, s.cycle_day) + 1, s.cycle_day)
                AND coalesce(o.day < s.cycle_until_day, TRUE) AND (s.is_last OR s.until_day >= greatest(o.day, s.cycle_from_day))
        ) AS is_of_cycle
    FROM owned o
    UNION ALL
    SELECT
        i.account, i.currency, i.kind, i.impact_micros, i.provisional, coalesce(i.period_from, n.first_day),
        coalesce(i.period_from, n.first_day), FALSE
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
        WHEN a.account IS NOT NULL AND w.is_of_cycle THEN list_contains(a.whole_days, w.day)
        WHEN a.account IS NOT NULL THEN coalesce(w.last_day >= CAST($cycle AS DATE) AND w.day < a.end_day, TRUE)
        WHEN w.account IN (SELECT s.account FROM spans s) THEN FALSE
        -- No state of the subscription names an account, so no cycle day is known either.
        ELSE day(CAST($cycle AS DATE)) = 1
            AND coalesce(w.last_day >= CAST($cycle AS DATE) AND w.day < CAST($cycle AS DATE) + INTERVAL 1 MONTH, w.day IS NULL)
    END
GROUP BY ALL
ORDER BY w.account NULLS LAST, w.currency NULLS LAST, too_little + too_much DESC, w.kind
