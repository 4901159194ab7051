-- Fraud cases: the suspicious transactions of one party on one day, most probable first.
-- Grain: one row per suspected party and UTC day. Owner: fraud.
SELECT
    t.case_id,                                    -- party and day, hashed: the same case keeps its id
    t.day,                                        -- UTC day
    row_number() OVER (
        PARTITION BY t.day ORDER BY max(t.probability) DESC NULLS LAST, count(*) DESC, t.case_id
    ) AS rank_of_day,                             -- 1 is the first to review
    any_value(t.party) AS party,                  -- who is suspected
    CAST(count(*) AS BIGINT) AS transactions,     -- number of suspicious transactions
    min(t.started_at) AS first_at,                -- UTC
    max(t.started_at) AS last_at,                 -- UTC
    max(t.probability) AS probability,            -- of its most suspicious transaction; NULL where only rules alert
    string_agg(DISTINCT t.rules, ', ' ORDER BY t.rules) AS rules, -- the rules that alert; NULL where none does
    arg_max(t.sentences, coalesce(t.probability, 0)) AS sentences, -- reasons of its most suspicious transaction: a JSON array
    CASE WHEN bool_or(t.status NOT IN ('open', 'dismissed')) THEN 'confirmed'
        WHEN bool_and(t.status = 'dismissed') THEN 'dismissed' ELSE 'open'
    END AS status                                 -- confirmed if any of its transactions is, dismissed if all are, else open
FROM main.suspicious_transactions t
GROUP BY t.case_id, t.day
