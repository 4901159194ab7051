-- Every accepted event is booked: counts and sums of the reconciled log equal those of the kernel.
-- A row: a stream, source and currency in which log and kernel differ.
WITH reconciled AS (
    SELECT coalesce(max(p.snapshot_id), 0) AS snapshot_id, coalesce(max(p.position), 0) AS position
    FROM lake.events.position p
    WHERE p.position <= (SELECT r.position FROM steps.reconciled r)
),
events AS (
    SELECT 'usage' AS stream, u.source_id, '' AS currency, u.quantity_micros, 0 AS amount_micros
    FROM lake.events.usage u
    WHERE u.snapshot_id <= (SELECT r.snapshot_id FROM reconciled r)
    UNION ALL
    SELECT 'charge', c.source_id, coalesce(c.currency, ''), c.quantity_micros, c.amount_micros
    FROM lake.events.charge c
    WHERE c.snapshot_id <= (SELECT r.snapshot_id FROM reconciled r)
),
units AS (
    SELECT
        e.stream, e.source_id, e.currency, count(*) AS records, sum(e.quantity_micros) AS quantity_micros,
        sum(e.amount_micros) AS amount_micros
    FROM events e
    GROUP BY e.stream, e.source_id, e.currency
),
logged AS (
    SELECT
        u.stream, regexp_replace(u.source_id, '@[^@]*$', '') AS source, u.currency, sum(u.records) AS records,
        coalesce(sum(u.quantity_micros), 0) AS quantity_micros, coalesce(sum(u.amount_micros), 0) AS amount_micros
    FROM units u
    GROUP BY ALL
),
placed AS (
    SELECT
        p.stream, p.source, coalesce(p.currency, '') AS currency, sum(p.placed_records + p.outdone_records) AS records,
        coalesce(sum(p.quantity_micros), 0) AS quantity_micros, coalesce(sum(p.amount_micros), 0) AS amount_micros
    FROM lake.events.placement p
    WHERE p.position <= (SELECT r.position FROM reconciled r)
    GROUP BY ALL
)
SELECT
    coalesce(l.stream, p.stream) AS stream, coalesce(l.source, p.source) AS source, coalesce(l.currency, p.currency) AS currency,
    l.records AS records_logged, p.records AS records_placed, l.quantity_micros AS quantity_micros_logged,
    p.quantity_micros AS quantity_micros_placed, l.amount_micros AS amount_micros_logged, p.amount_micros AS amount_micros_placed
FROM logged l
FULL JOIN placed p ON p.stream = l.stream AND p.source = l.source AND p.currency = l.currency
WHERE coalesce(l.records, 0) <> coalesce(p.records, 0)
    OR coalesce(l.quantity_micros, 0) <> coalesce(p.quantity_micros, 0)
    OR coalesce(l.amount_micros, 0) <> coalesce(p.amount_micros, 0)
