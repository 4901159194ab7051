-- Fraud cases: the suspicious transactions of one party on one day, the greatest expected loss first.
-- Grain: one row per suspected party and UTC day. Owner: fraud.
WITH suspected AS (
    SELECT
        t.case_id, t.day, any_value(t.party) AS party, CAST(count(*) AS BIGINT) AS transactions, min(t.started_at) AS first_at,
        max(t.started_at) AS last_at, max(t.probability) AS probability,
        array_to_string(list_sort(list_distinct(flatten(list(string_split(t.rules, ', ')) FILTER (t.rules IS NOT NULL)))), ', ') AS rules,
        arg_max(t.sentences, (coalesce(t.probability, 0), t.event_id)) AS sentences, arg_max(t.typology, (coalesce(t.probability, 0), t.event_id)) AS typology,
        arg_max(t.action, (coalesce(t.probability, 0), t.event_id)) AS action, bool_or(t.in_sample) AS in_sample,
        CAST(sum(t.exposure) AS DECIMAL(38, 6)) AS exposure, any_value(t.currency) AS currency,
        greatest(1, date_diff('second', min(t.started_at), max(t.started_at)) / 3600.0) AS hours,
        CASE WHEN bool_or(t.status NOT IN ('open', 'dismissed')) THEN 'confirmed'
            WHEN bool_and(t.status = 'dismissed') THEN 'dismissed' ELSE 'open'
        END AS status
    FROM main.suspicious_transactions t
    GROUP BY t.case_id, t.day
),
rated AS (
    SELECT
        s.*, CAST(s.exposure / s.hours AS DECIMAL(38, 6)) AS exposure_per_hour,
        CAST(s.exposure / s.hours * coalesce(s.probability, 0.5) AS DECIMAL(38, 6)) AS expected_loss_per_hour
    FROM suspected s
)
SELECT
    c.case_id,                                    -- party and day, hashed: the same case keeps its id
    c.day,                                        -- UTC day
    row_number() OVER (
        PARTITION BY c.day
        ORDER BY c.expected_loss_per_hour DESC NULLS LAST, c.probability DESC NULLS LAST, c.transactions DESC, c.case_id
    ) AS rank_of_day,                             -- 1 is the first to review
    c.party,                                      -- who is suspected
    c.transactions,                               -- number of suspicious transactions
    c.first_at,                                   -- UTC
    c.last_at,                                    -- UTC
    c.probability,                                -- of its most suspicious transaction; NULL where only rules alert
    c.rules,                                      -- the rules that alert; NULL where none does
    c.sentences,                                  -- reasons of its most suspicious transaction: a JSON array
    c.typology,                                   -- the kind of fraud that its reasons point to
    c.action,                                     -- what to do
    c.in_sample,                                  -- whether a score is of a day that the model was trained on: it proves nothing
    c.exposure,                                   -- money so far, each transaction in one case only; NULL without [[fraud.loss]]
    c.exposure_per_hour,                          -- what stopping it saves in an hour, at its rate so far
    c.expected_loss_per_hour,                     -- the same times the probability, which is 0.5 where only rules alert
    c.currency,                                   -- of the money
    c.status                                      -- confirmed if any of its transactions is, dismissed if all are, else open
FROM rated c
