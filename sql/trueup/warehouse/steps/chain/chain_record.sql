-- Records of all stages of each chain, with the unit in which stages are compared.
-- Grain: one row per chain and delivered content of a record. Owner: warehouse.
-- A unit is the records of one session key within a bucket key, or one record without a session key. In a chain that compares
-- sums, a unit is the records of a service, subscriber and period. Charges of items (rentals, fees) pass no chain. `content_key` is
-- the same for all contents of a record.
WITH zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
inner_numbers AS (
    SELECT s.chain, s.stage, s.stage_no FROM steps.chain_stage s WHERE s.stage_no NOT IN (0, s.last_no)
),
records AS (
    SELECT
        'usage' AS stream, NULL AS stage, u.event_id, u.key_scope, u.record_key, u.record_version, u.session_key, u.account, u.service,
        u.subscriber, u.started_at AS own_time, u.quantity_micros, NULL AS amount_micros, NULL AS currency
    FROM lake.events.usage u
    WHERE u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    UNION ALL
    SELECT
        'charge', NULL, c.event_id, c.key_scope, c.record_key, c.record_version, c.session_key, c.account, c.service,
        c.subscriber, coalesce(c.started_at, c.billed_at), c.quantity_micros, c.amount_micros, c.currency
    FROM lake.events.charge c
    WHERE c.item IS NULL AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    UNION ALL
    SELECT
        'stage', g.stage, g.event_id, g.key_scope, g.record_key, g.record_version, g.session_key, g.account, g.service,
        g.subscriber, coalesce(g.started_at, g.billed_at), g.quantity_micros, g.amount_micros, g.currency
    FROM lake.events.stage g
    WHERE g.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
)
SELECT
    c.chain,                                      -- as in steps.chain_stage
    c.last_no,                                    -- as in steps.chain_stage
    c.services,                                   -- as in steps.chain_stage
    CASE r.stream WHEN 'usage' THEN 0 WHEN 'charge' THEN c.last_no ELSE n.stage_no END AS stage_no, -- the stage of the record
    CASE
        WHEN c.by_period OR getvariable('bucket_by') = 'subscriber' THEN coalesce(r.subscriber, '')
        WHEN getvariable('bucket_by') = 'account' THEN coalesce(r.account, '')
        ELSE ''
    END AS scope,                                 -- the scope within which session keys are compared
    CASE
        WHEN c.by_period THEN coalesce(r.service, '') || ' ' || steps.period_number(r.own_time, c.period, z.name)
        WHEN r.session_key IS NOT NULL THEN 's' || r.session_key
        ELSE 'r' || hex(r.event_id)
    END AS unit,                                  -- the unit of the record; NULL for a record without a time, whose period is unknown
    if(c.by_period, steps.period_first_day(steps.period_number(r.own_time, c.period, z.name), c.period), CAST(timezone(z.name, r.own_time) AS DATE)) AS day, -- day of the record, or first day of its period
    {'stream': r.stream, 'stage': r.stage, 'key_scope': r.key_scope, 'record_key': r.record_key} AS content_key, -- key of the record, the same for all its contents
    CASE getvariable('bucket_by') WHEN 'subscriber' THEN r.subscriber WHEN 'account' THEN r.account ELSE r.session_key END AS bucket_key, -- the bucket key within which contents are compared
    r.event_id, r.record_version, r.service, r.subscriber, r.own_time, r.quantity_micros, r.amount_micros, r.currency
FROM records r
CROSS JOIN zone z
JOIN (SELECT DISTINCT s.chain, s.last_no, s.services, s.by_period, s.period FROM steps.chain_stage s) c
    ON len(c.services) = 0 OR r.service IS NULL OR list_contains(c.services, r.service)
LEFT JOIN inner_numbers n ON n.chain = c.chain AND n.stage = r.stage
WHERE r.stream <> 'stage' OR n.stage_no IS NOT NULL
