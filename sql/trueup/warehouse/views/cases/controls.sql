-- The catalogue of controls: the coverage of each, its last run, and the precision of its findings.
-- Grain: one row per control: a kind of finding, or a model or rule of fraud. Owner: investigation.
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
    e.covers,                                     -- what the control looks for
    e.producer,                                   -- the step that runs the control: reconcile, quality or fraud
    coalesce(
        json_extract_string(getvariable('case_owners'), '$."' || replace(e.control, '"', '') || '"'),
        json_extract_string(getvariable('case_owners'), '$.default')
    ) AS owner,                                   -- the responsible person by the settings; NULL without one
    p.committed_at AS last_run_at,                -- the commit time of the newest position that the control has covered; NULL if it never ran
    coalesce(r.position, 0) / nullif((SELECT n.position FROM newest n), 0) AS coverage, -- share of the positions of the log that the control has covered
    CAST(coalesce(e.raised, 0) AS BIGINT) AS raised, -- number of findings or transactions ever raised
    CAST(coalesce(e.standing, 0) AS BIGINT) AS standing, -- number of these that later records have not closed
    CAST(coalesce(e.confirmed, 0) AS BIGINT) AS confirmed, -- number of these that a person confirmed
    CAST(coalesce(e.dismissed, 0) AS BIGINT) AS dismissed, -- number of these that a person dismissed as false alarms
    e.confirmed / nullif(e.confirmed + e.dismissed, 0) AS precision -- confirmed / (confirmed + dismissed); NULL where none is decided
FROM every e
LEFT JOIN runs r ON r.producer = e.producer
LEFT JOIN lake.events.position p ON p.position = r.position
ORDER BY e.stage, e.control
