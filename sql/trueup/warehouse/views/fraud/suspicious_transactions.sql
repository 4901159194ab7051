-- Transactions that the champion or a rule finds suspicious, with the reasons. All others are only counted, in fraud_daily.
-- Grain: one row per suspicious transaction and accused party. Owner: fraud.
SELECT
    lower(hex(s.event_id)) AS event_id,           -- the usage record, in lower-case hex
    s.case_id,                                    -- the case it belongs to
    s.day,                                        -- UTC day of its own time
    s.started_at,                                 -- UTC
    s.service,                                    -- of the record
    s.subscriber,                                 -- of the record
    s.peer,                                       -- of the record
    s.party,                                      -- who is suspected: the one whose behaviour the reasons describe
    s.is_first,                                   -- false for the other end of a transaction whose ends are both suspected
    s.probability,                                -- calibrated, 0 to 1; NULL where only rules alert
    s.margin,                                     -- sum of the model's trees, which the contributions of the reasons add up to
    s.model_id,                                   -- the model; NULL where only rules alert
    s.in_sample,                                  -- whether the model's training covered its day: its score then proves nothing
    s.rules,                                      -- the rules that alert, by name; NULL where none does
    CAST(s.reasons -> '$.sentences' AS VARCHAR) AS sentences, -- the reasons as sentences: a JSON array
    s.reasons ->> '$.typology' AS typology,       -- the kind of fraud that the reasons point to
    s.reasons ->> '$.action' AS action,           -- what to do
    CAST(s.reasons AS VARCHAR) AS reasons,        -- JSON: the sentences, and for a model the contribution of each feature to the margin
    steps.micros_as_money(s.loss_micros) AS exposure, -- what it costs if it is fraud; NULL for the second party, and without [[fraud.loss]]
    s.currency,                                   -- of the exposure
    CASE coalesce(own.decision, whole.decision, 'open')
        WHEN 'reopened' THEN 'open' ELSE coalesce(own.decision, whole.decision, 'open')
    END AS status,                                -- open, or as decided (see decision_kinds): by its own decision, else by a later one on its case
    s.position                                    -- the position of the record; of a later score, the position of the scoring
FROM steps.suspicion s
LEFT JOIN steps.decision_now own ON own.finding_id = s.event_id AND s.is_first
LEFT JOIN steps.decision_now whole ON whole.finding_id = unhex(s.case_id) AND s.started_at <= whole.decided_at AND s.scored_snapshot < whole.snapshot
ORDER BY s.started_at, s.event_id, s.is_first DESC
