-- States of subscriptions, past, present and announced, in network and billing, as known now.
-- Grain: one row per system, subscriber and valid_from; if several were ingested, the last counts. Owner: warehouse.
-- If one commit has several, the greatest event id counts, as in reconciliation, so the order in a file does not matter.
SELECT
    s.system,                                     -- the system: network or billing
    s.subscriber,                                 -- the subscription, as in usage and charges
    s.account,                                    -- the billing account
    s.imsi,                                       -- the IMSI of the SIM
    s.plan,                                       -- the plan, as in tariffs
    s.segment,                                    -- the customer segment
    s.status,                                     -- active, suspended or ceased
    s.valid_from,                                 -- begin of the state, UTC
    s.valid_to,                                   -- end of the state, exclusive, UTC; NULL: until further notice
    s.timezone,                                   -- time zone of the billing days of the subscription; NULL: the zone of the item, else of the project
    s.cycle_day,                                  -- day of the month on which the billing cycle begins; NULL: the first
    lower(hex(s.event_id)) AS event_id,           -- id in lower-case hex, for explain and verify
    s.source_id,                                  -- source unit of the record, as in source_units
    p.position,                                   -- the position of the commit
    p.committed_at AS known_at                    -- when the record was committed, UTC
FROM lake.events.subscriber s
JOIN lake.events.position p ON p.snapshot_id = s.snapshot_id
WHERE s.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
QUALIFY row_number() OVER (
    PARTITION BY s.system, s.subscriber, s.valid_from ORDER BY p.position DESC, s.event_id DESC
) = 1
