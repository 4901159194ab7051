-- States of subscriptions, past, present and announced, in network and billing, as known now.
-- Grain: one row per system, subscriber and valid_from; of several, the last one ingested. Owner: warehouse.
-- Of several in one commit the greatest event id counts, as in reconciliation, so that their order in a file does not matter.
SELECT
    s.system,                                     -- the system: network or billing
    s.subscriber,                                 -- the subscription, as in usage and charges
    s.account,                                    -- the billing account
    s.imsi,                                       -- its SIM
    s.plan,                                       -- the plan, as in tariffs
    s.segment,                                    -- the customer segment
    s.status,                                     -- active, suspended or ceased
    s.valid_from,                                 -- begin of the state, UTC
    s.valid_to,                                   -- end of the state, exclusive, UTC; NULL: until further notice
    s.timezone,                                   -- the zone of its billing days; NULL: that of the item, else of the project
    s.cycle_day,                                  -- the day of the month on which its billing cycle begins; NULL: the first
    lower(hex(s.event_id)) AS event_id,           -- its id in lower-case hex, for explain and verify
    s.source_id,                                  -- its source unit, as in source_units
    p.position,                                   -- the position of its commit
    p.committed_at AS known_at                    -- when it was committed, UTC
FROM lake.events.subscriber s
JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id
WHERE s.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
QUALIFY row_number() OVER (
    PARTITION BY s.system, s.subscriber, s.valid_from ORDER BY p.position DESC, s.event_id DESC
) = 1
