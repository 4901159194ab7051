-- Cases: findings that one cause likely explains (`root_cause`), and suspicious transactions of one party on one day (`fraud`). The
-- most urgent cases are first.
-- Grain: one row per case. Owner: investigation.
WITH fraud_money AS MATERIALIZED (
    FROM steps.fraud_money
),
fraud_items AS (
    SELECT m.event_id AS item_id, m.case_id, m.snapshot AS filed_snapshot, m.micros FROM fraud_money m WHERE m.micros <> 0
),
fraud_sums AS (
    SELECT
        m.case_id, any_value(m.currency) AS currency, sum(m.micros) AS micros,
        sum(m.micros - coalesce(t.micros, 0)) FILTER (coalesce(d.status, 'open') = 'open') AS open_micros
    FROM fraud_money m
    LEFT JOIN steps.transaction_decision d ON d.event_id = m.event_id AND unhex(d.case_id) = m.case_id
    LEFT JOIN steps.money_taken('fraud_items', 'steps.decision_event') t ON t.item_id = m.event_id
    GROUP BY m.case_id
),
every AS (
    SELECT
        lower(hex(r.case_id)) AS case_id, 'root_cause' AS type, r.kind, r.pattern, NULL AS party, r.first_day AS day, r.status,
        r.findings, r.open_findings, NULL AS transactions, r.currency, r.impact_micros, r.open_micros, r.hidden_findings,
        r.hidden_micros, r.confidence, r.opened_at, r.first_at, r.last_at, r.assignee, r.due_on, r.snoozed_until, r.suppressed_until,
        r.merged_into, lower(hex(r.parent)) AS parent, r.awaits_second_person, r.note, r.decisions, NULL AS rank_of_day,
        NULL AS over_budget, NULL AS probability, NULL AS rules, NULL AS sentences, NULL AS typology, NULL AS action,
        NULL AS in_sample, NULL AS exposure, NULL AS exposure_per_hour, NULL AS expected_loss_per_hour, NULL AS exposure_currency,
        NULL AS summary
    FROM steps.root_cause r
    UNION ALL
    SELECT
        f.case_id, 'fraud', 'fraud', to_json([['party', f.party], ['day', CAST(f.day AS VARCHAR)]]), f.party, f.day, f.status, 0,
        0, f.transactions, coalesce(s.currency, getvariable('project_currency')), coalesce(s.micros, 0),
        coalesce(s.open_micros, 0), 0, 0, coalesce(f.probability, 0.5), f.last_at, f.first_at, f.last_at,
        n.assignee, n.due_on, n.snoozed_until, NULL, NULL, NULL, coalesce(n.awaits_second_person, false), n.note,
        coalesce(n.decisions, 0), f.rank_of_day, f.over_budget, f.probability, f.rules, f.sentences, f.typology, f.action, f.in_sample,
        f.exposure, f.exposure_per_hour, f.expected_loss_per_hour, f.currency, f.summary
    FROM steps.fraud_case f
    LEFT JOIN fraud_sums s ON s.case_id = unhex(f.case_id)
    LEFT JOIN steps.case_note n ON n.subject = unhex(f.case_id)
),
-- Age is counted up to the newest commit instead of the time of the query, so that a query has one answer.
newest AS (
    SELECT max(p.committed_at) AS at FROM lake.events.position p
    WHERE p.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
)
SELECT
    c.case_id,                                    -- of a fraud case, a hash of party and day; of a root cause, a hash of kind, currency and pattern
    c.type,                                       -- root_cause or fraud
    c.kind,                                       -- kind of the findings, or fraud
    CAST(c.pattern AS VARCHAR) AS pattern,        -- JSON: an array of [dimension, value] that all members share
    c.day,                                        -- first day of the money; of fraud, the UTC day
    c.status,                                     -- open while a member is undecided, else confirmed, dismissed, claimed, prevented, written_off, merged, or closed (later records closed all its findings)
    CAST(row_number() OVER (
        PARTITION BY c.currency
        ORDER BY c.status = 'open' DESC, abs(c.open_micros) * c.confidence DESC, c.confidence DESC, c.first_at, c.case_id
    ) AS BIGINT) AS rank,                         -- rank within the currency: open cases first, by undecided money x confidence, then older cases first
    c.findings,                                   -- number of findings that later records have not closed; 0 for fraud
    c.open_findings,                              -- number of undecided findings
    c.transactions,                               -- number of suspicious transactions of a fraud case; NULL for a root cause
    c.currency,                                   -- currency of the amounts
    steps.micros_as_money(c.impact_micros) AS impact, -- money of the findings that later records have not closed: positive is leakage, negative is overcharge; of fraud, the charged money
    steps.micros_as_money(c.open_micros) AS open_impact, -- the undecided part of impact
    CAST(c.impact_micros AS DECIMAL(38, 0)) AS impact_micros, -- impact in millionths
    CAST(c.open_micros AS DECIMAL(38, 0)) AS open_micros, -- open_impact in millionths
    c.confidence,                                 -- 0 to 1; of a root cause, confirmed share of its kind x share of its money that is not provisional; of fraud, the probability (rules: 0.5)
    CAST(greatest(date_diff('day', c.first_at, (SELECT n.at FROM newest n)), 0) AS BIGINT) AS age_days, -- days from the first record of the case to the newest commit
    c.opened_at,                                  -- when the case was opened; of fraud, the time of the last transaction
    c.first_at,                                   -- time of the first record, UTC
    c.last_at,                                    -- time of the last record, UTC
    c.assignee AS owner,                          -- the responsible person; NULL: not assigned yet
    c.due_on,                                     -- the day by which a person must decide the case; NULL without a due day
    c.snoozed_until,                              -- the time until which the case is left out of the queue; NULL if never snoozed
    c.suppressed_until,                           -- the time until which later findings of the pattern are dismissed too; NULL without suppression
    c.hidden_findings,                            -- number of findings hidden by that suppression, which count in no other column
    steps.micros_as_money(c.hidden_micros) AS hidden_impact, -- money of the hidden findings
    c.awaits_second_person,                       -- whether a write-off waits for approval by a second person
    c.merged_into,                                -- the case that took the findings of this case; NULL if not merged
    c.parent,                                     -- the case from which a person split this case; NULL if opened by a search
    c.note,                                       -- the last note
    CAST(c.decisions AS BIGINT) AS decisions,     -- number of decisions and comments
    c.party,                                      -- the party suspected of fraud; NULL for a root cause, as are the columns below
    c.rank_of_day,                                -- rank for review among the fraud cases of the day; 1 is first
    c.over_budget,                                -- whether alerts_per_day or more cases of the day rank before the case
    c.probability,                                -- probability of the most suspicious transaction; NULL where only rules alert
    c.rules,                                      -- the alerting rules; NULL where none alerts
    c.sentences,                                  -- reasons of the most suspicious transaction with the case's kind of fraud: a JSON array
    c.typology,                                   -- the kind of fraud of most transactions, by their reasons
    c.action,                                     -- the action to take
    c.in_sample,                                  -- whether the model was trained on the day of a score, which then proves nothing
    c.exposure,                                   -- loss so far by [[fraud.loss]], each transaction in one case only; NULL without [[fraud.loss]]
    c.exposure_per_hour,                          -- loss avoided in an hour by stopping the party, at the rate so far
    c.expected_loss_per_hour,                     -- exposure_per_hour times the probability, which is 0.5 where only rules alert
    c.exposure_currency,                          -- currency of the loss
    c.summary                                     -- of fraud: the party, the suspected fraud, the money at risk, the main reason, and the action to take
FROM every c
ORDER BY c.currency, rank
