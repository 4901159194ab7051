-- Scoring by day: scored transactions, alerts, and decisions on the alerts.
-- Grain: one row per UTC day and model or rule. Owner: fraud.
WITH decided AS (
    SELECT t.day, t.model_id AS name, count(DISTINCT t.case_id) AS cases,
        count(*) FILTER (t.status NOT IN ('open', 'dismissed')) AS confirmed,
        count(*) FILTER (t.status = 'dismissed') AS dismissed,
        sum(t.exposure) AS exposure, sum(t.exposure) FILTER (t.status NOT IN ('open', 'dismissed')) AS confirmed_exposure
    FROM main.suspicious_transactions t
    GROUP BY ALL
)
SELECT
    g.day,                                        -- day in UTC
    g.source,                                     -- model, rule, or none where no model was active
    g.name,                                       -- model id, or the rule's name
    g.role,                                       -- champion, challenger, alert or shadow; a challenger or shadow never alerts
    CAST(sum(g.transactions) AS BIGINT) AS transactions, -- number of scored transactions
    CAST(sum(g.suspicious) AS BIGINT) AS suspicious, -- number of suspicious transactions
    CAST(coalesce(any_value(s.cases), 0) AS BIGINT) AS cases, -- of a champion: number of suspected parties, for a comparison with alerts_per_day
    CAST(coalesce(sum(g.in_sample), 0) AS BIGINT) AS in_sample, -- number of transactions of days that the model's training covered
    sum(g.suspicious) / nullif(sum(g.transactions), 0) AS alert_rate, -- suspicious / transactions
    CAST(coalesce(any_value(s.confirmed), 0) AS BIGINT) AS confirmed, -- number of the champion's alerts that a person confirmed as fraud
    CAST(coalesce(any_value(s.dismissed), 0) AS BIGINT) AS dismissed, -- number of the champion's alerts that a person dismissed
    CAST(any_value(s.exposure) AS DECIMAL(38, 6)) AS exposure, -- loss if all the champion's alerts are fraud; NULL without [[fraud.loss]]
    CAST(any_value(s.confirmed_exposure) AS DECIMAL(38, 6)) AS confirmed_exposure -- the part of exposure that is confirmed as fraud
FROM lake.events.scoring g
LEFT JOIN decided s ON s.day = g.day AND s.name = g.name AND g.role = 'champion'
WHERE g.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
GROUP BY g.day, g.source, g.name, g.role
ORDER BY g.day, g.source, g.name
