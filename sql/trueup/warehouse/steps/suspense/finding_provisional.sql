-- Provisional findings: a record of one side is missing, and may be in quarantine or in a feed that is known to be incomplete.
-- Grain: one row per finding. Owner: warehouse.
-- A dismissed finding about a feed does not count. A failed expectation with bounds marks its day as incomplete.
-- Steps that several branches read are materialized: otherwise each branch plans and computes them again.
WITH zone AS MATERIALIZED (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
rules AS MATERIALIZED (
    FROM steps.match_rule
),
covered AS MATERIALIZED (
    -- Services that another service covers. Their records lie in the sums of the covering service.
    SELECT CAST(c.value ->> '$' AS VARCHAR) AS service, s.key AS line
    FROM steps.policy_now p, json_each(p.content, '$.services') s, json_each(s.value, '$.covers') c
),
shared AS MATERIALIZED (
    FROM steps.shared_price
),
suspended AS MATERIALIZED (
    SELECT s.*, coalesce(c.line, s.service) AS sum_service
    FROM steps.suspense s
    LEFT JOIN covered c ON c.service = s.service
),
standing AS MATERIALIZED (
    SELECT
        f.finding_id, f.kind, f.status, f.stream, f.service, f.subscriber, f.peer, f.day, f.started_at, f.ended_at, f.records_high,
        f.usage_event_ids, f.charge_event_ids, f.impact_micros, k.missing_side, k.evidence, k.side
    FROM steps.finding_now f
    LEFT JOIN main.finding_kinds k ON k.kind = f.kind
    WHERE f.stands
),
lacking AS (
    SELECT DISTINCT
        f.stream, f.service, CAST(timezone(z.name, f.started_at) AS DATE) AS first_day,
        CAST(timezone(z.name, greatest(f.started_at, f.ended_at - INTERVAL 1 MICROSECOND)) AS DATE) AS last_day,
        'incomplete feed' AS reason
    FROM standing f, zone z
    WHERE f.status <> 'dismissed' AND (
        f.kind IN ('missing_records', 'stale_feed', 'volume_drop') OR (f.kind = 'failed_expectation' AND f.records_high > 0)
    )
    UNION ALL
    SELECT d.stream, d.service, d.day, d.day, 'quarantined share' FROM steps.suspense_day d WHERE d.is_incomplete
),
lacking_sums AS (
    SELECT k.stream, coalesce(c.line, k.service) AS service, k.first_day, k.last_day, k.reason
    FROM lacking k
    LEFT JOIN covered c ON c.service = k.service
),
lopsided AS (
    SELECT
        f.finding_id, f.missing_side, f.service, f.subscriber, f.peer, f.day, f.started_at,
        if(f.missing_side = 'charge', f.usage_event_ids, f.charge_event_ids) AS member_ids
    FROM standing f
    WHERE f.missing_side IS NOT NULL
),
unexplained AS (
    FROM lopsided
    UNION ALL
    -- A wrong amount lacks a charge where too little is billed, and lacks usage where too much is billed.
    SELECT
        f.finding_id, if(f.impact_micros > 0, 'charge', 'usage'), f.service, f.subscriber, f.peer, f.day, f.started_at,
        if(f.impact_micros > 0, f.usage_event_ids, f.charge_event_ids)
    FROM standing f
    WHERE f.kind = 'misrated'
),
members AS (
    SELECT l.finding_id, l.missing_side, l.service, unnest(l.member_ids) AS event_id FROM unexplained l
),
keyed AS (
    -- Only records whose session has a record in quarantine are read from the streams.
    SELECT u.event_id, 'charge' AS missing_side, u.session_key, u.account
    FROM lake.events.usage u
    WHERE u.session_key IN (SELECT s.session_key FROM suspended s WHERE s.stream = 'charge' AND s.session_key IS NOT NULL)
    UNION ALL
    SELECT c.event_id, 'usage', c.session_key, c.account
    FROM lake.events.charge c
    WHERE c.session_key IN (SELECT s.session_key FROM suspended s WHERE s.stream = 'usage' AND s.session_key IS NOT NULL)
),
corrected AS MATERIALIZED (
    -- Records with versions, of which quarantine has a content that was delivered later. The content may be of any subscriber.
    SELECT u.event_id
    FROM lake.events.usage u
    JOIN suspended s ON s.stream = 'usage' AND s.record_key = u.record_key AND s.snapshot_id > u.snapshot_id
    WHERE u.record_version IS NOT NULL
        AND s.source IN (SELECT c.source FROM lake.events.control c WHERE c.source_id = u.source_id)
    UNION ALL
    SELECT b.event_id
    FROM lake.events.charge b
    JOIN suspended s ON s.stream = 'charge' AND s.record_key = b.record_key AND s.snapshot_id > b.snapshot_id
    WHERE b.record_version IS NOT NULL
        AND s.source IN (SELECT c.source FROM lake.events.control c WHERE c.source_id = b.source_id)
),
priced AS (
    SELECT f.finding_id, f.service, f.subscriber, f.started_at, f.usage_event_ids
    FROM standing f
    WHERE f.evidence = 'proven' AND f.side IN ('usage', 'both')
),
owners AS (
    -- Usage of an account draws on the account's allowance. The account is read from the record, not from the state of its
    -- subscriber.
    SELECT DISTINCT p.finding_id, u.account
    FROM (
        SELECT r.finding_id, unnest(r.usage_event_ids) AS event_id
        FROM priced r
        -- Without a shared pool or quarantined usage, no record is looked up and the stream is not read.
        WHERE EXISTS (FROM shared s WHERE s.by_account) AND EXISTS (FROM suspended q WHERE q.stream = 'usage')
    ) p
    JOIN lake.events.usage u ON u.event_id = p.event_id
),
drawing AS (
    SELECT f.*, s.service AS refused_service, s.from_time, s.until_time, FALSE AS by_account
    FROM priced f
    JOIN suspended s ON s.stream = 'usage' AND s.subscriber = f.subscriber
    UNION ALL
    SELECT f.*, s.service, s.from_time, s.until_time, TRUE
    FROM priced f
    JOIN owners o ON o.finding_id = f.finding_id
    JOIN suspended s ON s.stream = 'usage' AND s.account = o.account
),
reasons AS (
    SELECT f.finding_id, 'quarantined pool usage' AS reason
    FROM drawing f
    JOIN shared p ON p.service = f.service AND p.by_account = f.by_account
    JOIN shared q ON q.pool = p.pool AND q.period = p.period AND q.timezone = p.timezone AND q.by_account = p.by_account
    WHERE
        coalesce(q.service = f.refused_service, TRUE)
        AND CASE
            -- The cycle of a rejected record depends on the state of its subscription. No cycle is longer than 31 days.
            WHEN p.period = 'cycle'
                THEN
                    f.started_at BETWEEN coalesce(f.from_time, f.started_at) - INTERVAL 31 DAY
                    AND f.until_time + INTERVAL 31 DAY
            ELSE
                date_trunc(p.period, timezone(p.timezone, f.started_at)) BETWEEN
                date_trunc(p.period, timezone(p.timezone, coalesce(f.from_time, f.started_at)))
                AND date_trunc(p.period, timezone(p.timezone, f.until_time))
        END
    UNION ALL
    SELECT l.finding_id, a.reason
    FROM lopsided l
    JOIN lacking_sums a ON a.stream = l.missing_side AND l.day BETWEEN a.first_day AND a.last_day AND a.service IN ('', l.service)
    UNION ALL
    SELECT m.finding_id, 'quarantined record'
    FROM members m
    JOIN keyed k ON k.event_id = m.event_id AND k.missing_side = m.missing_side
    JOIN suspended s ON s.stream = m.missing_side AND s.session_key = k.session_key
    WHERE coalesce(s.sum_service = m.service, TRUE) AND coalesce(s.account = k.account, TRUE)
    UNION ALL
    SELECT r.finding_id, 'quarantined record'
    FROM (
        SELECT f.finding_id, unnest(list_concat(f.usage_event_ids, f.charge_event_ids)) AS event_id
        FROM standing f
        WHERE f.evidence = 'proven' AND EXISTS (FROM corrected)
    ) r
    JOIN corrected c ON c.event_id = r.event_id
    UNION ALL
    SELECT l.finding_id, 'quarantined record'
    FROM unexplained l
    JOIN suspended s ON s.stream = l.missing_side AND s.subscriber = l.subscriber
    CROSS JOIN zone z
    LEFT JOIN rules own ON own.service = l.service
    LEFT JOIN rules other ON other.service IS NULL
    WHERE
        coalesce(s.sum_service = l.service, TRUE) AND coalesce(s.peer = l.peer, TRUE)
        -- Where a service is matched by session key alone, a record with a session key belongs to no other session.
        AND (
            s.session_key IS NULL OR NOT coalesce(own.by_key, other.by_key, TRUE) OR coalesce(own.by_nearest, other.by_nearest, FALSE)
        )
        AND CASE
            WHEN NOT coalesce(own.by_period, other.by_period, FALSE)
                THEN
                    epoch_us(l.started_at) BETWEEN epoch_us(coalesce(s.from_time, l.started_at)) - coalesce(own.start_tolerance_us, other.start_tolerance_us, 0)
                    AND epoch_us(s.until_time) + coalesce(own.start_tolerance_us, other.start_tolerance_us, 0)
            -- The cycle of a rejected record depends on the state of its subscription. No cycle is longer than 31 days.
            WHEN coalesce(own.period, other.period) = 'cycle'
                THEN
                    l.started_at BETWEEN coalesce(s.from_time, l.started_at) - INTERVAL 31 DAY
                    AND s.until_time + INTERVAL 31 DAY
            -- Where periods follow the zone of the subscription, the zone depends on the state too. Midnights differ by up to a day.
            ELSE
                steps.period_number(l.started_at, coalesce(own.period, other.period), z.name)
                BETWEEN steps.period_number(
                    coalesce(s.from_time, l.started_at) - to_days(coalesce(own.zone_days, other.zone_days, 0)), coalesce(own.period, other.period), z.name
                )
                AND steps.period_number(s.until_time + to_days(coalesce(own.zone_days, other.zone_days, 0)), coalesce(own.period, other.period), z.name)
        END
)
SELECT
    r.finding_id,                                 -- 16 bytes
    coalesce(max(r.reason) FILTER (r.reason = 'quarantined record'), max(r.reason)) AS reason -- quarantined record, quarantined share, quarantined pool usage or incomplete feed
FROM reasons r
GROUP BY r.finding_id
