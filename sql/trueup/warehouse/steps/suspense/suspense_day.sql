-- Share of the records of a feed's day that are in quarantine without a key by which they could be matched.
-- Grain: one row per feed, stream, service and day. Owner: warehouse.
-- A record counts on its day. A record without a readable time counts on every day of its unit.
WITH zone AS (
    SELECT coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS name
),
rules AS MATERIALIZED (
    FROM steps.match_rule
),
suspended AS (
    SELECT
        s.source, s.stream, coalesce(s.service, '') AS service, s.source_id, s.unit_records, s.amount_micros, s.currency,
        s.subscriber IS NULL AND (s.session_key IS NULL OR NOT coalesce(own.by_key, other.by_key, TRUE)) AS is_keyless,
        CAST(timezone(z.name, s.from_time) AS DATE) AS first_day, CAST(timezone(z.name, s.until_time) AS DATE) AS last_day
    FROM steps.suspense s
    CROSS JOIN zone z
    LEFT JOIN rules own ON own.service = s.service
    LEFT JOIN rules other ON other.service IS NULL
),
days AS (
    -- A unit without a preceding unit may hold records of any earlier day. It counts on the last day alone.
    SELECT s.*, unnest(generate_series(coalesce(s.first_day, s.last_day), s.last_day, INTERVAL 1 DAY)) AS day FROM suspended s
),
units AS (
    SELECT DISTINCT d.source, d.stream, d.service, CAST(d.day AS DATE) AS day, d.source_id, d.unit_records FROM days d
),
sizes AS (
    SELECT u.source, u.stream, u.service, u.day, CAST(sum(u.unit_records) AS BIGINT) AS unit_records
    FROM units u
    GROUP BY ALL
)
SELECT
    d.source,                                     -- name of the feed
    d.stream,                                     -- usage or charge
    d.service,                                    -- service of the records; '' where it is not readable
    CAST(d.day AS DATE) AS day,                   -- day in the project's time zone
    any_value(z.unit_records) AS unit_records,    -- number of records of the units with these records
    count(*) AS records,                          -- number of records in quarantine
    count(*) FILTER (WHERE d.is_keyless) AS keyless_records, -- number of records without a readable key
    CAST(sum(d.amount_micros) AS HUGEINT) AS amount_micros, -- sum of the readable amounts of charges; NULL without any
    count(*) FILTER (WHERE d.stream = 'charge' AND d.amount_micros IS NULL) AS unread_amounts, -- number of charges whose amount is not readable
    count(*) FILTER (WHERE d.is_keyless) * 1000000 > any_value(z.unit_records) * getvariable('quarantine_share_millionths') AS is_incomplete -- whether the share of records without a key exceeds `quarantine_share`
FROM days d
JOIN sizes z ON z.source = d.source AND z.stream = d.stream AND z.service = d.service AND z.day = CAST(d.day AS DATE)
GROUP BY d.source, d.stream, d.service, CAST(d.day AS DATE)
