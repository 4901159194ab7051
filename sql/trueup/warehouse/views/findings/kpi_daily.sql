-- Key figures by day: usage, billed money and leakage.
-- Grain: one row per service, day and currency. Owner: warehouse.
-- Records count on their own service and day. Their money counts where conservation counts it: for a charge without a service, on
-- the service and day of its usage. Usage counts in the currency in which its service is priced.
WITH zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
-- Offsets of time zones are multiples of 15 minutes, so records are counted by quarter of an hour first, and quarters by day.
usage_quarters AS (
    SELECT coalesce(u.service, '') AS service, epoch_us(u.started_at) // 900000000 AS quarter, count(*) AS records
    FROM lake.events.usage u
    WHERE u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY ALL
),
charge_quarters AS (
    SELECT
        coalesce(c.service, '') AS service, epoch_us(coalesce(c.started_at, c.billed_at)) // 900000000 AS quarter, c.currency,
        count(*) AS records
    FROM lake.events.charge c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY ALL
),
prices AS (
    SELECT
        s.service,
        coalesce(
            json_extract_string(p.content, '/services/' || replace(replace(s.service, '~', '~0'), '/', '~1') || '/currency'),
            if(list_contains(json_keys(p.content, '/services'), s.service), NULL, json_extract_string(p.content, '/default/currency')),
            p.currency, getvariable('project_currency')
        ) AS currency
    FROM (SELECT DISTINCT u.service FROM usage_quarters u) s
    LEFT JOIN steps.policy_now p ON true
),
entries AS (
    SELECT
        u.service, CAST(timezone((SELECT z.name FROM zone z), make_timestamptz(u.quarter * 900000000)) AS DATE) AS day, r.currency,
        u.records AS usage_records, 0 AS charge_records, 0 AS expected_micros, 0 AS billed_micros, 0 AS tolerated_micros,
        0 AS pending_micros, 0 AS unrated_records, 0 AS findings, 0 AS leakage_micros, 0 AS overcharge_micros, 0 AS recovered_micros,
        0 AS claimed_micros
    FROM usage_quarters u
    JOIN prices r ON r.service = u.service
    UNION ALL
    SELECT
        c.service, CAST(timezone((SELECT z.name FROM zone z), make_timestamptz(c.quarter * 900000000)) AS DATE),
        coalesce(c.currency, (SELECT p.currency FROM steps.policy_now p), getvariable('project_currency')),
        0, c.records, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM charge_quarters c
    UNION ALL
    SELECT
        k.service, k.day, k.currency, 0, 0, k.expected_micros, k.billed_micros, k.tolerated_micros, k.pending_micros,
        k.unrated_records, 0, 0, 0, 0, 0
    FROM main.conservation k
    UNION ALL
    SELECT
        f.service, f.day, f.currency, 0, 0, 0, 0, 0, 0, 0, 1, greatest(f.impact_micros, 0), greatest(-f.impact_micros, 0),
        0, if(f.status = 'claimed', greatest(f.impact_micros, 0), 0)
    FROM steps.finding_now f
    WHERE f.stands AND f.status <> 'dismissed' AND f.control IS NULL
        AND NOT EXISTS (FROM steps.finding_provisional p WHERE p.finding_id = f.finding_id)
    UNION ALL
    SELECT r.service, r.day, r.currency, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, greatest(r.recovered_micros, 0), 0 FROM steps.recovery r
),
first_decisions AS (
    SELECT d.finding_id, min(d.decided_at) AS decided_at
    FROM steps.decision_on_finding d
    WHERE d.sets_status AND d.status <> 'open'
    GROUP BY d.finding_id
),
handling AS (
    SELECT
        f.day, f.service, f.currency,
        avg(date_diff('second', f.started_at, p.committed_at)) / 3600 AS hours_to_detect,
        avg(date_diff('second', p.committed_at, d.decided_at)) / 3600 AS hours_to_decide,
        count(*) FILTER (f.status NOT IN ('open', 'dismissed')) / nullif(count(*) FILTER (f.status <> 'open'), 0) AS precision
    FROM steps.finding_now f
    JOIN lake.events.position p ON p.position = f.raised_position
    LEFT JOIN first_decisions d ON d.finding_id = f.finding_id
    WHERE f.stands AND f.control IS NULL
    GROUP BY f.day, f.service, f.currency
)
SELECT
    e.day,                                        -- day in the project's time zone; NULL for charges without any date
    e.service,                                    -- '' for charges without a service
    e.currency,                                   -- currency of the amounts
    CAST(sum(e.usage_records) AS BIGINT) AS usage_records, -- number of accepted usage records
    CAST(sum(e.charge_records) AS BIGINT) AS charge_records, -- number of accepted charges
    steps.micros_as_money(sum(e.expected_micros)) AS expected, -- money that should have been billed
    steps.micros_as_money(sum(e.billed_micros)) AS billed, -- money that was billed
    steps.micros_as_money(sum(e.tolerated_micros)) AS tolerated, -- expected - billed within tolerance
    steps.micros_as_money(sum(e.pending_micros)) AS pending, -- expected - billed that is not final yet
    CAST(sum(e.unrated_records) AS BIGINT) AS unrated_records, -- number of usage records without a price
    CAST(sum(e.findings) AS BIGINT) AS findings,  -- number of open and confirmed findings
    steps.micros_as_money(sum(e.leakage_micros)) AS leakage, -- sum of the positive impacts of the findings
    steps.micros_as_money(sum(e.recovered_micros)) AS recovered, -- former leakage that correcting charges have recovered
    steps.micros_as_money(sum(e.overcharge_micros)) AS overcharge, -- sum of the negative impacts of the findings, as a positive amount
    sum(e.leakage_micros) / nullif(sum(e.expected_micros), 0) AS leakage_rate, -- leakage / expected; NULL where nothing was expected
    steps.micros_as_money(sum(e.claimed_micros)) AS claimed, -- the part of leakage that a person has claimed as recovered
    sum(e.recovered_micros + e.claimed_micros) / nullif(sum(e.leakage_micros + e.recovered_micros), 0) AS recovery_rate, -- (recovered + claimed) / (leakage + recovered); NULL without leakage
    any_value(h.hours_to_detect) AS hours_to_detect, -- mean time from the first record of a finding to the position that raised the finding; closed findings do not count
    any_value(h.hours_to_decide) AS hours_to_decide, -- mean time from the position that raised a finding to its first decision; NULL where none is decided
    any_value(h.precision) AS precision           -- share of the decided findings that were not dismissed; NULL where none is decided
FROM entries e
LEFT JOIN handling h ON h.day IS NOT DISTINCT FROM e.day AND h.service = e.service AND h.currency IS NOT DISTINCT FROM e.currency
GROUP BY e.day, e.service, e.currency
ORDER BY e.day, e.service, e.currency
