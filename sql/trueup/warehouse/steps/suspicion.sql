-- Suspicious transactions by the champion and by alerting rules.
-- Grain: one row per suspicious transaction. Owner: fraud.
SELECT
    s.event_id,                                   -- 16 bytes, of the usage record
    min(s.position) AS position,                  -- the position of the record; of a later score, the position of the scoring
    min(s.snapshot_id) AS scored_snapshot,        -- the commit of its first score
    any_value(s.day) AS day,                      -- UTC day
    any_value(s.started_at) AS started_at,        -- UTC
    any_value(s.service) AS service,              -- of the record
    any_value(s.subscriber) AS subscriber,        -- of the record
    any_value(s.peer) AS peer,                    -- of the record
    any_value(s.party) AS party,                  -- who is suspected
    max(s.probability) AS probability,            -- of the model; NULL where only rules alert
    arg_max(s.margin, s.probability) AS margin,   -- of the same model
    arg_max(s.name, s.probability) AS model_id,   -- of the same model
    string_agg(s.name, ', ' ORDER BY s.name) FILTER (s.source = 'rule') AS rules, -- those that alert
    coalesce(arg_max(s.reasons, s.probability), min(CAST(s.reasons AS VARCHAR))) AS reasons, -- JSON: sentences, base, adds
    left(sha256('case;' || coalesce(any_value(s.party), '') || ';' || any_value(s.day)), 32) AS case_id -- party and day, hashed
FROM lake.events.score s
WHERE s.role IN ('champion', 'alert') AND s.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
GROUP BY s.event_id
