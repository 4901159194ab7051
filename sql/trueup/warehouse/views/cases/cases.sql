-- Cases: what one cause likely explains (`root_cause`), and what one party did on one day (`fraud`). First those to decide first.
-- Grain: one row per case. Owner: investigation.
WITH fraud_sums AS (
    SELECT m.case_id, any_value(m.currency) AS currency, sum(m.micros) AS micros FROM steps.fraud_money m GROUP BY m.case_id
),
every AS (
    SELECT
        lower(hex(r.case_id)) AS case_id, 'root_cause' AS type, r.kind, r.pattern, NULL AS party, r.first_day AS day, r.status,
        r.findings, r.open_findings, NULL AS transactions, r.currency, r.impact_micros, r.open_micros, r.hidden_findings,
        r.hidden_micros, r.confidence, r.opened_at, r.first_at, r.last_at, r.assignee, r.due_on, r.snoozed_until, r.suppressed_until,
        r.merged_into, lower(hex(r.parent)) AS parent, r.awaits_second_person, r.note, r.decisions, NULL AS rank_of_day,
        NULL AS over_budget, NULL AS probability, NULL AS rules, NULL AS sentences, NULL AS typology, NULL AS action, NULL AS in_sample, NULL AS exposure,
        NULL AS exposure_per_hour, NULL AS expected_loss_per_hour, NULL AS exposure_currency, NULL AS summary
    FROM steps.root_cause r
    UNION ALL
    SELECT
        f.case_id, 'fraud', 'fraud', to_json([['party', f.party], ['day', CAST(f.day AS VARCHAR)]]), f.party, f.day, f.status, 0,
        0, f.transactions, coalesce(s.currency, getvariable('project_currency')), coalesce(s.micros, 0),
        if(f.status = 'open', coalesce(s.micros, 0), 0), 0, 0, coalesce(f.probability, 0.5), f.last_at, f.first_at, f.last_at,
        n.assignee, n.due_on, n.snoozed_until, NULL, NULL, NULL, coalesce(n.awaits_second_person, false), n.note,
        coalesce(n.decisions, 0), f.rank_of_day, f.over_budget, f.probability, f.rules, f.sentences, f.typology, f.action, f.in_sample,
        f.exposure, f.exposure_per_hour, f.expected_loss_per_hour, f.currency, f.summary
    FROM steps.fraud_case f
    LEFT JOIN fraud_sums s ON s.case_id = unhex(f.case_id)
    LEFT JOIN steps.case_note n ON n.subject = unhex(f.case_id)
),
-- Age is counted up to the newest commit, not up to the time of the question, so that a question has one answer.
newest AS (
    SELECT max(p.committed_at) AS at FROM lake.events.position p
    WHERE p.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
)
SELECT
    c.case_id,                                    -- a hash: of a fraud case, of party and day; of a root cause, of kind, currency and pattern
    c.type,                                       -- root_cause or fraud
    c.kind,                                       -- of its findings, or fraud
    CAST(c.pattern AS VARCHAR) AS pattern,        -- JSON: an array of [dimension, value] that all its members share
    c.day,                                        -- first day of its money; of fraud, the UTC day
    c.status,                                     -- open, confirmed, dismissed, claimed, prevented, written_off, merged, or closed: no finding stands
    CAST(row_number() OVER (
        PARTITION BY c.currency
        ORDER BY c.status = 'open' DESC, abs(c.open_micros) * c.confidence DESC, c.confidence DESC, c.first_at, c.case_id
    ) AS BIGINT) AS rank,                         -- within its currency: open cases first, by undecided money x confidence, then the older ones
    c.findings,                                   -- findings that stand; 0 for fraud
    c.open_findings,                              -- of these, undecided
    c.transactions,                               -- suspicious transactions of fraud; NULL for a root cause
    c.currency,                                   -- of the amounts
    steps.micros_as_money(c.impact_micros) AS impact, -- money of its findings that stand: positive is leakage, negative is overcharge; of fraud, what is charged for it
    steps.micros_as_money(c.open_micros) AS open_impact, -- the undecided part of it
    CAST(c.impact_micros AS DECIMAL(38, 0)) AS impact_micros, -- impact in millionths
    CAST(c.open_micros AS DECIMAL(38, 0)) AS open_micros, -- open_impact in millionths
    c.confidence,                                 -- 0 to 1: of a root cause, share of its kind confirmed by decisions x share of its money not provisional; of fraud, the probability, or 0.5 of rules
    CAST(greatest(date_diff('day', c.first_at, (SELECT n.at FROM newest n)), 0) AS BIGINT) AS age_days, -- from its first record to the newest commit
    c.opened_at,                                  -- when it was opened; of fraud, the time of its last transaction
    c.first_at,                                   -- time of its first record, UTC
    c.last_at,                                    -- time of its last record, UTC
    c.assignee AS owner,                          -- who is responsible; NULL: no person yet
    c.due_on,                                     -- the day by which it has to be decided; NULL without one
    c.snoozed_until,                              -- until when it is left out of the queue; NULL if never snoozed
    c.suppressed_until,                           -- until when later findings of the pattern are dismissed too; NULL without suppression
    c.hidden_findings,                            -- findings hidden by that, which count in no other column
    steps.micros_as_money(c.hidden_micros) AS hidden_impact, -- their money
    c.awaits_second_person,                       -- whether a write-off waits for a second person
    c.merged_into,                                -- the case that took its findings; NULL if not merged
    c.parent,                                     -- the case it was split from; NULL if opened by a search
    c.note,                                       -- the last note
    CAST(c.decisions AS BIGINT) AS decisions,     -- number of decisions and comments
    c.party,                                      -- who is suspected of fraud; NULL for a root cause, like the columns below
    c.rank_of_day,                                -- among the fraud cases of its day; 1 is the first to review
    c.over_budget,                                -- whether as many cases of its day as alerts_per_day rank before it
    c.probability,                                -- of its most suspicious transaction; NULL where only rules alert
    c.rules,                                      -- the rules that alert; NULL where none does
    c.sentences,                                  -- reasons of the most suspicious transaction of its kind: a JSON array
    c.typology,                                   -- the kind of fraud of most of its transactions, by their reasons
    c.action,                                     -- what to do
    c.in_sample,                                  -- whether a score is of a day that the model was trained on: it proves nothing
    c.exposure,                                   -- loss so far by [[fraud.loss]], each transaction in one case only; NULL without it
    c.exposure_per_hour,                          -- what stopping it saves in an hour, at its rate so far
    c.expected_loss_per_hour,                     -- the same times the probability, which is 0.5 where only rules alert
    c.exposure_currency,                          -- of the loss
    c.summary                                     -- of fraud: who, what, how much money at risk, against what, and what to do
FROM every c
ORDER BY c.currency, rank
