-- Transactions that the champion or a rule finds suspicious, with the reasons. All other transactions are only counted, in
-- fraud_daily.
-- Grain: one row per suspicious transaction and accused party. Owner: fraud.
SELECT
    lower(hex(s.event_id)) AS event_id,           -- id of the usage record, in lower-case hex
    s.case_id,                                    -- the case of the transaction
    s.day,                                        -- UTC day of the transaction
    s.started_at,                                 -- time of the transaction, UTC
    s.service,                                    -- service of the usage record
    s.subscriber,                                 -- subscriber of the usage record
    s.peer,                                       -- peer of the usage record
    s.party,                                      -- the suspected party, whose behaviour the reasons describe
    s.is_first,                                   -- whether the party is the one first accused; false for the second party of a transaction
    s.probability,                                -- calibrated probability of fraud, 0 to 1; NULL where only rules alert
    s.margin,                                     -- sum of the outputs of the model's trees, which is also the sum of the contributions of the reasons
    s.model_id,                                   -- id of the model; NULL where only rules alert
    s.in_sample,                                  -- whether the model's training covered the day of the transaction; the score then proves nothing
    s.rules,                                      -- names of the alerting rules; NULL where none alerts
    CAST(s.reasons -> '$.sentences' AS VARCHAR) AS sentences, -- the reasons as sentences: a JSON array
    s.reasons ->> '$.typology' AS typology,       -- the kind of fraud that the reasons indicate
    s.reasons ->> '$.action' AS action,           -- the action to take
    CAST(s.reasons AS VARCHAR) AS reasons,        -- JSON: the sentences, and for a model the contribution of each feature to the margin
    steps.micros_as_money(s.loss_micros) AS exposure, -- the loss if the transaction is fraud; NULL for the second party, and without [[fraud.loss]]
    s.currency,                                   -- currency of the exposure
    coalesce(d.status, 'open') AS status,         -- open, or as decided (see decision_kinds) by the last decision on the transaction or on its case
    s.position                                    -- the position of the record; of a later score, the position of the scoring run
FROM steps.suspicion s
LEFT JOIN steps.transaction_decision d ON d.event_id = s.event_id AND d.case_id = s.case_id
ORDER BY s.started_at, s.event_id, s.is_first DESC
