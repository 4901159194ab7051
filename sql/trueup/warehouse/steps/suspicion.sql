-- Suspicious transactions by the champion and by alerting rules, with the parties that they accuse.
-- Grain: one row per suspicious transaction and accused party. Owner: fraud.
WITH accused AS (
    SELECT
        s.event_id, s.party, min(s.position) AS position, min(s.snapshot_id) AS scored_snapshot, max(s.snapshot_id) AS last_snapshot,
        min(coalesce(s.party_rank, 1)) AS party_rank,
        any_value(s.day) AS day, any_value(s.started_at) AS started_at, any_value(s.service) AS service,
        any_value(s.subscriber) AS subscriber, any_value(s.peer) AS peer, max(s.probability) AS probability,
        arg_max_null(s.margin, s.probability) AS margin, arg_max(s.name, s.probability) AS model_id,
        arg_max_null(s.in_sample, s.probability) AS in_sample,
        string_agg(s.name, ', ' ORDER BY s.name) FILTER (s.source = 'rule') AS rules,
        coalesce(arg_max(s.reasons, s.probability), min(CAST(s.reasons AS VARCHAR))) AS reasons,
        max(s.loss_micros) AS loss_micros, max(s.currency) AS currency
    FROM lake.events.score s
    WHERE s.role IN ('champion', 'alert') AND s.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
    GROUP BY s.event_id, s.party
)
SELECT
    a.event_id,                                   -- id of the usage record, 16 bytes
    a.position,                                   -- the position of the record; of a later score, the position of the scoring run
    a.scored_snapshot,                            -- the commit of the first score of the transaction
    a.day,                                        -- day in UTC
    a.started_at,                                 -- time of the transaction, UTC
    a.service,                                    -- as in the usage record
    a.subscriber,                                 -- as in the usage record
    a.peer,                                       -- as in the usage record
    a.party,                                      -- the suspected party, whose behaviour the reasons describe
    row_number() OVER (PARTITION BY a.event_id ORDER BY a.party_rank, a.last_snapshot DESC, a.party) = 1 AS is_first, -- whether the party is the one first accused
    a.probability,                                -- probability by the model; NULL where only rules alert
    a.margin,                                     -- margin by the same model
    a.model_id,                                   -- id of the same model
    a.in_sample,                                  -- whether the training of the model covered the day of the transaction
    a.rules,                                      -- the alerting rules
    a.reasons,                                    -- JSON: sentences, typology, action, base, adds
    CASE WHEN is_first THEN a.loss_micros END AS loss_micros, -- the loss if the transaction is fraud; only for the party first accused
    a.currency,                                   -- currency of the loss
    left(sha256('case;' || coalesce(a.party, '') || ';' || a.day), 32) AS case_id -- hash of party and day
FROM accused a
