-- The catalogue of controls: what each covers, how far it has run, and how good its findings are.
-- Grain: one row per control, a kind of finding or a rule of fraud. Owner: investigation.
WITH newest AS (
    SELECT max(p.position) AS position FROM lake.events.position p
    WHERE p.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
),
runs AS (
    SELECT
        if(c.consumer = 'score', 'fraud', c.consumer) AS producer, max(c.position) AS position
    FROM lake.events.consumer c, newest n
    WHERE c.position <= n.position AND c.consumer IN ('reconcile', 'quality', 'score')
    GROUP BY ALL
),
raised AS (
    SELECT
        f.kind, count(*) AS raised, count(*) FILTER (f.stands) AS standing,
        count(*) FILTER (f.stands AND f.status NOT IN ('open', 'dismissed')) AS confirmed,
        count(*) FILTER (f.stands AND f.status = 'dismissed') AS dismissed
    FROM steps.finding_now f
    GROUP BY f.kind
),
rules AS (
    SELECT
        s.name, count(DISTINCT s.event_id) AS raised,
        count(DISTINCT s.event_id) FILTER (t.status NOT IN ('open', 'dismissed')) AS confirmed,
        count(DISTINCT s.event_id) FILTER (t.status = 'dismissed') AS dismissed
    FROM lake.events.score s
    JOIN main.suspicious_transactions t ON t.event_id = lower(hex(s.event_id))
    WHERE s.role IN ('champion', 'alert') AND s.position <= (SELECT n.position FROM newest n)
    GROUP BY s.name
),
every AS (
    SELECT
        k.kind AS control,
        CASE
            WHEN k.producer = 'quality' THEN 'collection'
            WHEN k.producer = 'fraud' THEN 'fraud'
            WHEN k.side = 'states' OR k.kind IN ('unknown_subscriber', 'inactive_subscriber') THEN 'provisioning'
            WHEN k.kind IN ('unrated', 'misrated') THEN 'rating'
            WHEN k.side = 'usage' AND k.evidence = 'none' THEN 'mediation'
            ELSE 'billing'
        END AS stage,
        k.meaning AS covers, k.producer, r.raised, r.standing, r.confirmed, r.dismissed
    FROM main.finding_kinds k
    LEFT JOIN raised r ON r.kind = k.kind
    UNION ALL
    SELECT r.name, 'fraud', 'Suspicious transactions of this model or rule.', 'fraud', r.raised, r.raised, r.confirmed, r.dismissed FROM rules r
)
SELECT
    e.control,                                    -- a kind of finding, or a model or rule of fraud
    e.stage,                                      -- the part of the revenue chain: collection, mediation, provisioning, rating, billing or fraud
    e.covers,                                     -- what it looks for
    e.producer,                                   -- which step runs it: reconcile, quality or fraud
    coalesce(
        json_extract_string(getvariable('case_owners'), '$."' || replace(e.control, '"', '') || '"'),
        json_extract_string(getvariable('case_owners'), '$.default')
    ) AS owner,                                   -- who is responsible by the settings; NULL without one
    p.committed_at AS last_run_at,                -- the time of the newest position it has covered; NULL if it never ran
    coalesce(r.position, 0) / nullif((SELECT n.position FROM newest n), 0) AS coverage, -- share of the positions of the log that it has covered
    CAST(coalesce(e.raised, 0) AS BIGINT) AS raised, -- findings or transactions ever raised
    CAST(coalesce(e.standing, 0) AS BIGINT) AS standing, -- of these, those that stand
    CAST(coalesce(e.confirmed, 0) AS BIGINT) AS confirmed, -- of these, decided as right
    CAST(coalesce(e.dismissed, 0) AS BIGINT) AS dismissed, -- of these, decided as false alarms
    e.confirmed / nullif(e.confirmed + e.dismissed, 0) AS precision -- confirmed / decided; NULL where none is decided
FROM every e
LEFT JOIN runs r ON r.producer = e.producer
LEFT JOIN lake.events.position p ON p.position = r.position
ORDER BY e.stage, e.control
