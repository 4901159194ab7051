-- Fraud cases: the suspicious transactions of one party on one day, the greatest expected loss first.
-- Grain: one row per suspected party and UTC day. Owner: fraud.
-- A case has the kind of fraud of most of its transactions. If several kinds have equally many, it has the kind of its most
-- suspicious transaction. The start of an attack through a hacked exchange looks like revenue share, so those transactions count
-- for the hacked exchange.
WITH kinds AS (
    SELECT
        t.case_id, coalesce(t.typology, 'unknown') AS typology,
        if(coalesce(t.typology, 'unknown') = 'unknown', 0, count(*))
        + if(t.typology = 'pbx_hacking', coalesce(sum(count(*)) FILTER (t.typology = 'revenue_share') OVER (PARTITION BY t.case_id), 0), 0)
            AS transactions,
        max((coalesce(t.probability, 0), t.event_id)) AS most_suspicious
    FROM main.suspicious_transactions t
    GROUP BY t.case_id, t.typology
),
kind AS (
    SELECT k.case_id, arg_max(k.typology, (k.transactions, k.most_suspicious)) AS typology FROM kinds k GROUP BY k.case_id
),
suspected AS (
    SELECT
        t.case_id, t.day, any_value(t.party) AS party, CAST(count(*) AS BIGINT) AS transactions, min(t.started_at) AS first_at,
        max(t.started_at) AS last_at, max(t.probability) AS probability,
        array_to_string(list_sort(list_distinct(flatten(list(string_split(t.rules, ', ')) FILTER (t.rules IS NOT NULL)))), ', ') AS rules,
        -- The reasons are those of the most suspicious transaction with the case's kind of fraud.
        arg_max(
            {'sentences': t.sentences, 'typology': t.typology, 'action': t.action},
            (coalesce(t.typology, 'unknown') = k.typology, coalesce(t.probability, 0), t.event_id)
        ) AS reasons,
        bool_or(t.in_sample) AS in_sample,
        CAST(sum(t.exposure) AS DECIMAL(38, 6)) AS exposure, any_value(t.currency) AS currency,
        greatest(1, date_diff('second', min(t.started_at), max(t.started_at)) / 3600.0) AS hours,
        CASE WHEN bool_or(t.status = 'open') THEN 'open' WHEN bool_and(t.status = 'dismissed') THEN 'dismissed' ELSE 'confirmed' END AS status
    FROM main.suspicious_transactions t
    JOIN kind k ON k.case_id = t.case_id
    GROUP BY t.case_id, t.day
),
rated AS (
    SELECT
        s.*, s.reasons.sentences AS sentences, s.reasons.typology AS typology, s.reasons.action AS action,
        CAST(s.exposure / s.hours AS DECIMAL(38, 6)) AS exposure_per_hour,
        CAST(s.exposure / s.hours * coalesce(s.probability, 0.5) AS DECIMAL(38, 6)) AS expected_loss_per_hour
    FROM suspected s
),
-- The main reason of a case is the first one that compares the behaviour with a norm.
phrased AS (
    SELECT
        r.case_id,
        if(coalesce(r.typology, 'unknown') = 'unknown', 'suspected fraud',
            'likely ' || replace(replace(replace(r.typology, '_', ' '), 'pbx', 'PBX'), 'sim box', 'SIM box')) AS what,
        CASE
            WHEN r.exposure IS NOT NULL THEN steps.shown_money(r.exposure, r.currency) || ' at risk so far, '
                || steps.shown_money(r.exposure_per_hour, r.currency) || ' more with each hour'
            WHEN r.currency IS NOT NULL THEN 'its money is at risk in the case of the other party'
            ELSE 'the money at risk is unknown, as [[fraud.loss]] has no price of its services'
        END AS money,
        coalesce(
            list_filter(CAST(r.sentences AS VARCHAR[]), lambda s: contains(s, '; '))[1], CAST(r.sentences AS VARCHAR[])[1],
            'rules ' || r.rules, 'no reason is stored'
        ) AS why,
        coalesce(r.action, 'Look at the records of this party, then call the customer.') AS action
    FROM rated r
)
SELECT
    c.case_id,                                    -- hash of party and day, so that the same case keeps its id
    c.day,                                        -- day in UTC
    row_number() OVER (
        PARTITION BY c.day
        ORDER BY c.expected_loss_per_hour DESC NULLS LAST, c.probability DESC NULLS LAST, c.transactions DESC, c.case_id
    ) AS rank_of_day,                             -- rank for review within the day; 1 is first
    rank_of_day > getvariable('alerts_per_day') AS over_budget, -- whether alerts_per_day or more cases of the day rank before the case
    c.party,                                      -- the suspected party
    c.transactions,                               -- number of suspicious transactions
    c.first_at,                                   -- time of the first transaction, UTC
    c.last_at,                                    -- time of the last transaction, UTC
    c.probability,                                -- probability of the most suspicious transaction; NULL where only rules alert
    c.rules,                                      -- the alerting rules; NULL where none alerts
    coalesce(c.party, 'unknown') || ', ' || t.what || ' on ' || c.day || ': ' || t.money || '. ' || t.why || '. ' || t.action AS summary, -- the party, the suspected fraud, the money at risk, the main reason, and the action to take
    c.sentences,                                  -- reasons of the most suspicious transaction with the case's kind of fraud: a JSON array
    c.typology,                                   -- the kind of fraud of most transactions, by their reasons
    c.action,                                     -- the action to take
    c.in_sample,                                  -- whether the model was trained on the day of a score, which then proves nothing
    c.exposure,                                   -- money at risk so far, each transaction in one case only; NULL without [[fraud.loss]]
    c.exposure_per_hour,                          -- loss avoided in an hour by stopping the party, at the rate so far
    c.expected_loss_per_hour,                     -- exposure_per_hour times the probability, which is 0.5 where only rules alert
    c.currency,                                   -- currency of the money
    c.status                                      -- open while any transaction is undecided; dismissed if all are dismissed; else confirmed
FROM rated c
JOIN phrased t ON t.case_id = c.case_id
