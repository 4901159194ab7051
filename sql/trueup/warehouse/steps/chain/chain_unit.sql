-- The records of each unit at each stage of a chain, and the money that findings claim of the unit.
-- Grain: one row per chain and unit. Owner: warehouse.
-- Of several contents of a record the greatest (version, quantity, amount, id) counts.
WITH moved AS MATERIALIZED (
    -- Records with contents under several bucket keys, of which one content withdraws the others.
    SELECT DISTINCT {'stream': m.stream, 'stage': CAST(NULL AS VARCHAR), 'key_scope': m.key_scope, 'record_key': m.record_key} AS content_key
    FROM lake.events.moved m
    WHERE m.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    UNION
    -- Reconciliation does not read inner stages, so their contents are not copied to other bucket keys.
    SELECT r.content_key
    FROM steps.chain_record r
    WHERE r.stage_no NOT IN (0, r.last_no)
    GROUP BY r.content_key
    HAVING count(r.record_version) > 0 AND count(DISTINCT coalesce(r.bucket_key, '')) > 1
),
repeated AS MATERIALIZED (
    -- A hash finds the few keys with several contents quickly. Two keys may share a hash, so contents are compared by the keys.
    SELECT hash(r.content_key, r.bucket_key) AS key_hash FROM steps.chain_record r GROUP BY key_hash HAVING count(*) > 1
    UNION
    SELECT hash(r.content_key, r.bucket_key) FROM steps.chain_record r SEMI JOIN moved m ON m.content_key = r.content_key
),
outranked AS MATERIALIZED (
    SELECT r.event_id
    FROM steps.chain_record r
    SEMI JOIN repeated d ON d.key_hash = hash(r.content_key, r.bucket_key)
    LEFT JOIN moved m ON m.content_key = r.content_key
    QUALIFY row_number() OVER (
        PARTITION BY r.chain, if(m.content_key IS NULL, r.bucket_key, ''), r.content_key
        ORDER BY r.record_version DESC NULLS LAST, r.quantity_micros DESC NULLS LAST, r.amount_micros DESC NULLS LAST, r.event_id DESC
    ) > 1
),
claimed AS MATERIALIZED (
    SELECT coalesce(f.usage_event_ids[1], f.charge_event_ids[1]) AS event_id, f.impact_micros, f.finding_id
    FROM steps.finding_now f
    WHERE f.stands AND f.stream IS NULL AND f.impact_micros <> 0
),
claims AS MATERIALIZED (
    SELECT
        r.chain, r.scope, r.unit, sum(f.impact_micros) AS impact_micros, list(DISTINCT lower(hex(f.finding_id)) ORDER BY 1) AS finding_ids
    FROM steps.chain_record r
    JOIN claimed f ON f.event_id = r.event_id
    GROUP BY r.chain, r.scope, r.unit
),
at_stage AS (
    SELECT
        r.chain, r.scope, r.unit, r.stage_no, any_value(r.last_no) AS last_no, any_value(r.services) AS services, count(*) AS records,
        sum(r.quantity_micros) AS added_up, max(r.quantity_micros) AS greatest, arg_max(r.quantity_micros, r.own_time) AS latest,
        -- Amounts of two currencies cannot be added, so a stage with several currencies counts by quantity alone.
        if(min(r.currency) IS DISTINCT FROM max(r.currency), NULL, sum(r.amount_micros)) AS amount_micros,
        min(r.currency) AS currency, min(r.service) AS service, min(r.subscriber) AS subscriber, min(r.day) AS day,
        min(r.own_time) AS started_at
    FROM steps.chain_record r
    ANTI JOIN outranked o ON o.event_id = r.event_id
    WHERE r.unit IS NOT NULL
    GROUP BY r.chain, r.scope, r.unit, r.stage_no
),
counters AS (
    SELECT s.key AS service, s.value ->> '$.parts' AS parts FROM steps.policy_now p, json_each(p.content, '$.services') s
),
counted AS (
    SELECT
        a.*,
        -- Readings of a running counter cannot be added. A charge has the quantity that it bills.
        CASE if(a.amount_micros IS NULL, k.parts, NULL) WHEN 'max' THEN a.greatest WHEN 'last' THEN a.latest ELSE a.added_up END AS quantity_micros
    FROM at_stage a
    LEFT JOIN counters k ON k.service = a.service
),
units AS (
    SELECT
        c.chain, c.scope, c.unit, any_value(c.last_no) AS last_no, any_value(c.services) AS services,
        min(c.stage_no) AS first_present, max(c.stage_no) AS last_present, count(*) AS stages_present,
        list(struct_pack(
            stage_no := c.stage_no, records := c.records, quantity_micros := c.quantity_micros, amount_micros := c.amount_micros,
            currency := c.currency
        )) AS present,
        arg_min(c.service, c.stage_no) AS service, arg_min(c.subscriber, c.stage_no) AS subscriber, arg_min(c.day, c.stage_no) AS day,
        arg_min(c.started_at, c.stage_no) AS started_at, arg_max(c.currency, c.stage_no) AS currency,
        coalesce(sum(c.amount_micros) FILTER (c.stage_no = c.last_no), 0) AS billed_micros,
        min(c.quantity_micros) IS DISTINCT FROM max(c.quantity_micros)
            OR min(c.amount_micros) IS DISTINCT FROM max(c.amount_micros)
            OR min(c.currency) IS DISTINCT FROM max(c.currency) AS differs
    FROM counted c
    GROUP BY c.chain, c.scope, c.unit
)
SELECT
    u.chain,                                      -- as in steps.chain_stage
    u.scope,                                      -- as in steps.chain_record
    u.unit,                                       -- as in steps.chain_record
    u.last_no,                                    -- as in steps.chain_stage
    u.first_present,                              -- the first stage with a record of the unit
    u.last_present,                               -- the last stage with a record of the unit
    u.present,                                    -- the records, quantity, amount and currency at each stage of the unit
    coalesce(u.service, '') AS service,           -- service of the unit; '' where no stage names one
    u.subscriber,                                 -- subscriber at the first stage of the unit
    u.day,                                        -- day at the first stage of the unit, in the project's time zone
    u.started_at,                                 -- time at the first stage of the unit
    coalesce(u.currency, getvariable('project_currency')) AS currency, -- currency at the last stage with an amount
    u.billed_micros,                              -- sum of the charges of the unit
    coalesce(c.impact_micros, 0) AS impact_micros, -- sum of the impacts of the open findings of the unit
    coalesce(c.finding_ids, []) AS finding_ids,   -- ids of the open findings of the unit
    -- Whether all stages have the same records of the unit and no finding claims any of its money.
    u.stages_present = u.last_no + 1 AND NOT u.differs AND c.impact_micros IS NULL AS agrees
FROM units u
LEFT JOIN claims c ON c.chain = u.chain AND c.scope = u.scope AND c.unit = u.unit
WHERE len(u.services) = 0 OR u.service IS NOT NULL
