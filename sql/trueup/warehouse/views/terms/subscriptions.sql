-- The states of subscriptions, past, present and announced, as network and billing have them by what is known now.
-- Grain: one row per system, subscriber and valid_from; of several, the one that came last. Owner: warehouse.
-- Of several in one commit the greatest content counts, as in reconciliation, so that their order in a file does not.
SELECT
    s.system,                                     -- who says so: network or billing
    s.subscriber,                                 -- the subscription, as records name it
    s.account,                                    -- who pays for it
    s.imsi,                                       -- its SIM
    s.plan,                                       -- what it is on, as in tariffs
    s.segment,                                    -- what kind of customer it is
    s.status,                                     -- active, suspended or ceased
    s.valid_from,                                 -- from when it is so, UTC
    s.valid_to,                                   -- until when, exclusive, UTC; NULL: until further notice
    lower(hex(s.event_id)) AS event_id,           -- its id in lower-case hex, for explain and verify
    s.source_id,                                  -- the source unit it came in, as in source_units
    p.position,                                   -- the position it came with
    p.committed_at AS known_at                    -- when that was, UTC
FROM lake.events.subscriber s
JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id
WHERE s.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
QUALIFY row_number() OVER (
    PARTITION BY s.system, s.subscriber, s.valid_from ORDER BY p.position DESC, s.event_id DESC
) = 1
