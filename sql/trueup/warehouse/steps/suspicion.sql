-- Suspicious transactions by the champion and by alerting rules, and whom they accuse.
-- Grain: one row per suspicious transaction and accused party. Owner: fraud.
WITH accused AS (
    SELECT
        s.event_id, s.party, min(s.position) AS position, min(s.snapshot_id) AS scored_snapshot, max(s.snapshot_id) AS last_snapshot,
        min(coalesce(s.party_rank, 1)) AS party_rank,
        any_value(s.day) AS day, any_value(s.started_at) AS started_at, any_value(s.service) AS service,
        any_value(s.subscriber) AS subscriber, any_value(s.peer) AS peer, max(s.probability) AS probability,
        arg_max(s.margin, s.probability) AS margin, arg_max(s.name, s.probability) AS model_id,
        arg_max(s.in_sample, s.probability) AS in_sample,
        string_agg(s.name, ', ' ORDER BY s.name) FILTER (s.source = 'rule') AS rules,
        coalesce(arg_max(s.reasons, s.probability), min(CAST(s.reasons AS VARCHAR))) AS reasons,
        max(s.loss_micros) AS loss_micros, max(s.currency) AS currency
    FROM lake.events.score s
    WHERE s.role IN ('champion', 'alert') AND s.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
    GROUP BY s.event_id, s.party
)
SELECT
    a.event_id,                                   -- 16 bytes, of the usage record
    a.position,                                   -- the position of the record; of a later score, the position of the scoring
    a.scored_snapshot,                            -- the commit of its first score
    a.day,                                        -- UTC day
    a.started_at,                                 -- UTC
    a.service,                                    -- of the record
    a.subscriber,                                 -- of the record
    a.peer,                                       -- of the record
    a.party,                                      -- who is suspected: the one whose behaviour the reasons describe
    row_number() OVER (PARTITION BY a.event_id ORDER BY a.party_rank, a.last_snapshot DESC, a.party) = 1 AS is_first, -- the party first accused
    a.probability,                                -- of the model; NULL where only rules alert
    a.margin,                                     -- of the same model
    a.model_id,                                   -- of the same model
    a.in_sample,                                  -- whether the training of the same model covered its day
    a.rules,                                      -- those that alert
    a.reasons,                                    -- JSON: sentences, typology, action, base, adds
    CASE WHEN is_first THEN a.loss_micros END AS loss_micros, -- what it costs if it is fraud; only of the party first accused
    a.currency,                                   -- of the loss
    left(sha256('case;' || coalesce(a.party, '') || ';' || a.day), 32) AS case_id -- party and day, hashed
FROM accused a
