-- Number of records of each feed by the hour of their start, with the open findings about the hour.
-- Grain: one row per source, node and UTC hour with records, or with an open finding of the feed.
-- Owner: warehouse.
WITH records AS (
    SELECT u.source_id, 'usage' AS stream, coalesce(u.node, '') AS node, u.started_at AS began, u.quantity_micros
    FROM lake.events.usage u
    WHERE u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    UNION ALL
    SELECT c.source_id, 'charge', coalesce(c.node, ''), coalesce(c.started_at, c.billed_at), c.quantity_micros
    FROM lake.events.charge c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
by_unit AS (
    SELECT
        r.source_id, any_value(r.stream) AS stream, r.node, epoch_us(r.began) // 3600000000 AS hour, count(*) AS records,
        count(*) FILTER (WHERE r.quantity_micros = 0) AS zero_records
    FROM records r
    WHERE r.began IS NOT NULL
    GROUP BY r.source_id, r.node, epoch_us(r.began) // 3600000000
),
delivered AS (
    SELECT
        regexp_replace(b.source_id, '@[^@]*$', '') AS source, any_value(b.stream) AS stream, b.node, b.hour,
        sum(b.records) AS records, sum(b.zero_records) AS zero_records
    FROM by_unit b
    GROUP BY ALL
),
lacking AS (
    SELECT
        f.source, f.stream, coalesce(f.node, '') AS node, f.finding_id, f.kind, f.reason,
        (coalesce(f.impact_high_micros, -1), coalesce(f.records_high, -1), f.kind, f.reason) AS weight,
        unnest(generate_series(
            epoch_us(f.started_at) // 3600000000, greatest(epoch_us(f.started_at), epoch_us(coalesce(f.ended_at, f.started_at)) - 1) // 3600000000
        )) AS hour
    FROM steps.finding_now f
    WHERE f.control IS NOT NULL AND f.stream IS NOT NULL AND f.stands
),
wrong AS (
    SELECT
        l.source, any_value(l.stream) AS stream, l.node, l.hour, count(DISTINCT l.finding_id) AS findings,
        arg_max(l.kind, l.weight) AS kind, arg_max_null(l.reason, l.weight) AS reason
    FROM lacking l
    GROUP BY l.source, l.node, l.hour
)
SELECT
    coalesce(c.source, w.source) AS source,       -- the feed's name in trueup.toml
    coalesce(c.stream, w.stream) AS stream,       -- usage or charge
    coalesce(c.node, w.node) AS node,             -- network node; '' where records have no node, or where the finding is about the whole feed
    make_timestamptz(coalesce(c.hour, w.hour) * 3600000000) AS hour, -- begin of the hour, UTC
    CAST(coalesce(c.records, 0) AS BIGINT) AS records, -- number of accepted records that began in the hour
    CAST(coalesce(c.zero_records, 0) AS BIGINT) AS zero_records, -- number of accepted records with a quantity of 0
    CAST(coalesce(w.findings, 0) AS BIGINT) AS findings, -- open findings of the feed about the hour
    w.kind,                                       -- kind of the finding with the most records or money at stake
    w.reason                                      -- reason of the finding in kind
FROM delivered c
FULL JOIN wrong w ON w.source = c.source AND w.node = c.node AND w.hour = c.hour
ORDER BY source, node, hour
