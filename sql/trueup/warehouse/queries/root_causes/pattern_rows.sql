-- Findings that are in no decided case, with the dimensions of their first records, and a sample of records for comparison.
-- Grain: one row per finding, or per record of the sample (`stream` set, finding_id NULL). Owner: investigation.
-- A record is in the sample if its id, a hash, begins below $below. So every search has the same sample.
WITH searched AS (
    SELECT n.*
    FROM steps.finding_now n
    LEFT JOIN steps.case_filing f ON f.finding_id = n.finding_id AND f.until_snapshot IS NULL
    LEFT JOIN steps.case_opening o ON o.case_id = f.case_id
    WHERE n.stands AND n.control IS NULL AND n.kind NOT IN ('model_drift', 'alert_rate', 'label_rate')
        AND (
            (f.finding_id IS NULL AND $case_id IS NULL)
            -- A case without dimensions explains nothing. Its findings are searched again while no decision concerns them.
            OR (len(list_filter(from_json(o.pattern, '[["VARCHAR"]]'), lambda p: p[1] NOT IN ('side', 'reason'))) = 0 AND n.status = 'open' AND $case_id IS NULL)
            OR f.case_id = unhex($case_id)
        )
),
sampled_usage AS (
    SELECT u.* FROM lake.events.usage u
    WHERE left(hex(u.event_id), 4) < $below AND u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
sampled_charge AS (
    SELECT c.* FROM lake.events.charge c
    WHERE left(hex(c.event_id), 4) < $below AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
keyed_charge AS (
    SELECT c.session_key, min_by(c, c.event_id) AS c
    FROM lake.events.charge c
    WHERE c.session_key IN (SELECT u.session_key FROM sampled_usage u)
    GROUP BY c.session_key
),
keyed_usage AS (
    SELECT u.session_key, min_by(u, u.event_id) AS u
    FROM lake.events.usage u
    WHERE u.session_key IN (SELECT c.session_key FROM sampled_charge c)
    GROUP BY u.session_key
),
first_usage AS (
    SELECT u.event_id, any_value(u) AS u FROM lake.events.usage u
    WHERE u.event_id IN (SELECT s.usage_event_ids[1] FROM searched s) GROUP BY u.event_id
),
first_charge AS (
    SELECT c.event_id, any_value(c) AS c FROM lake.events.charge c
    WHERE c.event_id IN (SELECT s.charge_event_ids[1] FROM searched s) GROUP BY c.event_id
),
rows AS (
    SELECT
        NULL AS stream, s.finding_id, s.kind, s.currency, s.impact_micros, s.reason, coalesce(nullif(s.service, ''), u.u.service, c.c.service) AS service,
        coalesce(s.node, u.u.node, c.c.node) AS node, coalesce(s.subscriber, u.u.subscriber) AS subscriber,
        coalesce(s.peer, u.u.peer, c.c.peer) AS peer, coalesce(u.u.cell, c.c.cell) AS cell,
        coalesce(u.u.started_at, s.started_at, c.c.started_at, c.c.billed_at) AS at, u.u.source_id AS usage_source, c.c.source_id AS charge_source,
        c.c.tariff_code AS tariff_code, c.c.invoice_id AS invoice_id, u.u.attributes AS usage_attributes, c.c.attributes AS charge_attributes
    FROM searched s
    LEFT JOIN first_usage u ON u.event_id = s.usage_event_ids[1]
    LEFT JOIN first_charge c ON c.event_id = s.charge_event_ids[1]
    UNION ALL
    SELECT
        'usage', NULL, NULL, NULL, 0, NULL, u.service, u.node, u.subscriber, u.peer, u.cell, u.started_at, u.source_id, k.c.source_id,
        k.c.tariff_code, k.c.invoice_id, u.attributes, k.c.attributes
    FROM sampled_usage u
    LEFT JOIN keyed_charge k ON k.session_key = u.session_key
    UNION ALL
    SELECT
        'charge', NULL, NULL, NULL, 0, NULL, coalesce(c.service, k.u.service), coalesce(k.u.node, c.node), coalesce(k.u.subscriber, c.subscriber),
        coalesce(k.u.peer, c.peer), coalesce(k.u.cell, c.cell), coalesce(k.u.started_at, c.started_at, c.billed_at), k.u.source_id, c.source_id,
        c.tariff_code, c.invoice_id, k.u.attributes, c.attributes
    FROM sampled_charge c
    LEFT JOIN keyed_usage k ON k.session_key = c.session_key
),
plans AS (
    SELECT p.subscriber, p.valid_from, p.plan, p.segment FROM main.subscriptions p
    WHERE p.system = (SELECT min(s.system) FROM main.subscriptions s)
),
paths AS (
    SELECT c.source_id, any_value(c.path) AS path FROM lake.events.control c GROUP BY c.source_id
)
SELECT
    r.stream, r.finding_id, r.kind, r.currency, r.impact_micros, r.reason, r.service, r.node, r.cell, r.subscriber, p.plan, p.segment, r.tariff_code,
    nullif(regexp_extract(r.invoice_id, $invoice_batch, 1), '') AS invoice_batch,
    if(length(r.peer) > 3, left(r.peer, 3), NULL) AS destination_3,
    if(length(r.peer) > 4, left(r.peer, 4), NULL) AS destination_4,
    if(length(r.peer) > 5, left(r.peer, 5), NULL) AS destination_5,
    if(length(r.peer) > 6, left(r.peer, 6), NULL) AS destination_6,
    strftime(timezone(getvariable('project_timezone'), r.at), '%H') AS hour,
    CAST(CAST(timezone(getvariable('project_timezone'), r.at) AS DATE) AS VARCHAR) AS day,
    a.path AS usage_file, b.path AS charge_file,
    [coalesce(r.usage_attributes ->> ('$."' || x || '"'), r.charge_attributes ->> ('$."' || x || '"')) for x in CAST($attributes AS VARCHAR[])] AS attributes
FROM rows r
ASOF LEFT JOIN plans p ON p.subscriber = r.subscriber AND p.valid_from <= r.at
LEFT JOIN paths a ON a.source_id = r.usage_source
LEFT JOIN paths b ON b.source_id = r.charge_source
