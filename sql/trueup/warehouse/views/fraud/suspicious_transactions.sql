-- Transactions that the champion or a rule finds suspicious, with the reasons. All others are only counted, in fraud_daily.
-- Grain: one row per suspicious transaction. Owner: fraud.
SELECT
    lower(hex(s.event_id)) AS event_id,           -- the usage record, in lower-case hex
    s.case_id,                                    -- the case it belongs to
    s.day,                                        -- UTC day of its own time
    s.started_at,                                 -- UTC
    s.service,                                    -- of the record
    s.subscriber,                                 -- of the record
    s.peer,                                       -- of the record
    s.party,                                      -- who is suspected: the caller of what was received, else the subscriber
    s.probability,                                -- calibrated, 0 to 1; NULL where only rules alert
    s.margin,                                     -- sum of the model's trees, which the contributions of the reasons add up to
    s.model_id,                                   -- the model; NULL where only rules alert
    s.rules,                                      -- the rules that alert, by name; NULL where none does
    CAST(s.reasons -> '$.sentences' AS VARCHAR) AS sentences, -- the reasons as sentences: a JSON array
    CAST(s.reasons AS VARCHAR) AS reasons,        -- JSON: the sentences, and for a model the contribution of each feature to the margin
    CASE coalesce(own.decision, whole.decision, 'open')
        WHEN 'reopened' THEN 'open' ELSE coalesce(own.decision, whole.decision, 'open')
    END AS status,                                -- open, or as decided (see decision_kinds): by its own decision, else by a later one on its case
    s.position                                    -- the position of the record; of a later score, the position of the scoring
FROM steps.suspicion s
LEFT JOIN steps.decision_now own ON own.finding_id = s.event_id
LEFT JOIN steps.decision_now whole ON whole.finding_id = unhex(s.case_id) AND s.started_at <= whole.decided_at AND s.scored_snapshot < whole.snapshot
ORDER BY s.started_at, s.event_id
