-- Gaps in the numbers of each declared series, numbers that occur twice, and numbers of no series.
-- Grain: one row per finding. Owner: warehouse.
-- A number belongs to the first series whose pattern it matches.
WITH rule AS MATERIALIZED (
    SELECT r.* FROM steps.invoice_rule r
),
series AS MATERIALIZED (
    SELECT
        CAST(s.key AS INTEGER) AS series_no, s.value ->> '$.pattern' AS pattern, s.value ->> '$.sequence_group' AS sequence_group,
        s.value ->> '$.series_group' AS series_group
    FROM json_each(CAST(getvariable('invoice_rules') AS JSON), '$.series') s
),
documents AS MATERIALIZED (
    FROM steps.invoice_document
),
numbers AS MATERIALIZED (
    SELECT d.number, min(d.account) AS account, min(d.billed_at) AS billed_at, min(d.currency) AS currency
    FROM documents d
    GROUP BY d.number
),
found AS MATERIALIZED (
    SELECT
        n.*, s.series_no,
        if(s.series_group = '0', '', regexp_replace(n.number, '^.*?(?:' || s.pattern || ').*$', chr(92) || s.series_group)) AS series,
        TRY_CAST(regexp_replace(n.number, '^.*?(?:' || s.pattern || ').*$', chr(92) || s.sequence_group) AS HUGEINT) AS sequence_no
    FROM numbers n
    JOIN series s ON regexp_matches(n.number, s.pattern)
    QUALIFY row_number() OVER (PARTITION BY n.number ORDER BY s.series_no) = 1
),
neighbours AS (
    SELECT
        f.*, lead(f.sequence_no) OVER counted AS next_no, lead(f.number) OVER counted AS next_number, lead(f.billed_at) OVER counted AS next_billed_at
    FROM found f
    WHERE f.sequence_no IS NOT NULL
    WINDOW counted AS (PARTITION BY f.series_no, f.series ORDER BY f.sequence_no, f.number)
)
SELECT
    'missing_number' AS kind,                     -- as in invoice_findings, like all columns
    n.number, n.next_number AS other_number, NULL AS account, NULL AS period_from, NULL AS period_to, NULL AS expected_micros, NULL AS billed_micros,
    NULL AS impact_micros, NULL AS currency, NULL AS reason, CAST(n.next_no - n.sequence_no - 1 AS BIGINT) AS records,
    CASE
        WHEN r.invoices_until IS NULL OR r.invoices_until < greatest(n.billed_at, n.next_billed_at) THEN 'incomplete feed'
        WHEN EXISTS (FROM steps.invoice_suspense q) THEN 'quarantined record'
    END AS provisional_reason
FROM neighbours n
CROSS JOIN rule r
WHERE n.next_no > n.sequence_no + 1
UNION ALL
SELECT
    'repeated_number', d.number, NULL, d.account, d.first_day, d.last_day + 1, NULL, NULL, NULL, d.currency, NULL, 1, NULL
FROM documents d
WHERE d.copy_no > 1
UNION ALL
SELECT 'number_outside_series', n.number, NULL, n.account, NULL, NULL, NULL, NULL, NULL, n.currency, NULL, 1, NULL
FROM numbers n
WHERE
    (SELECT count(*) FROM series) > 0 AND n.number NOT IN (SELECT f.number FROM found f WHERE f.sequence_no IS NOT NULL)
