-- The current state of each finding, including resolved and retracted ones.
-- Grain: one row per finding ever raised. Owner: warehouse.
SELECT
    lower(hex(f.finding_id)) AS finding_id,       -- its id in lower-case hex: a hash of kind and subject, never of time or amount
    f.kind,                                       -- what is wrong: unbilled, underbilled, misrated, duplicate_charge, …
    f.status,                                     -- recovered, resolved or retracted where later records closed it; else as decided, on it or on its case (see decision_kinds); else open
    f.service,                                    -- of its first record; '' for charges without a service
    f.subscriber,                                 -- of its first record
    f.peer,                                       -- of its first record
    f.node,                                       -- network node of its first record
    f.day,                                        -- day its money is on, in the project's time zone; NULL for charges without any date
    f.started_at,                                 -- time of its first record, UTC
    steps.micros_as_money(f.whole_expected_micros) AS expected, -- what should have been billed for its whole session, charge or period; of a closed finding, before it closed
    steps.micros_as_money(f.whole_billed_micros) AS billed, -- what was billed for its whole session, charge or period
    steps.micros_as_money(f.impact_micros) AS impact, -- the part of expected - billed that this finding claims: positive is leakage, negative is overcharge
    f.impact_micros,                              -- the same in millionths
    steps.micros_as_money(f.impact_low_micros) AS impact_low, -- least money at stake where it is only bounded; NULL for a proven finding
    steps.micros_as_money(f.impact_high_micros) AS impact_high, -- most money at stake where it is only bounded; NULL for a proven finding
    f.records_low,                                -- least records concerned where they are only bounded; NULL for a proven finding
    f.records_high,                               -- most records concerned where they are only bounded; NULL for a proven finding
    f.currency,                                   -- of all its amounts
    lower(hex(f.usage_event_ids[1])) AS usage_event_id, -- its lowest usage record; all are in finding_records
    lower(hex(f.charge_event_ids[1])) AS charge_event_id, -- its lowest charge; all are in finding_records
    f.cause,                                      -- why it last changed: frontier, arrival, late_usage, late_charge, conflict, policy_change, …
    f.revision,                                   -- 1 as raised, one more with each revision since
    f.raised_position,                            -- the position at which it was last raised
    f.changed_position,                           -- the position it last changed at
    f.reason,                                     -- what made the billed amount (former_version, wrong_increment, …), why usage is unrated, or which plans differ; of a feed, the observation; NULL where it is unknown
    f.ended_at,                                   -- when two systems that differ on a subscription since started_at agreed again, UTC; of a feed, the end of the affected time
    f.source,                                     -- the feed of a finding about a feed; NULL for other findings
    f.control,                                    -- the control that raised a finding about a feed (files, records, volume, mix, schedule, expectations, …)
    p.finding_id IS NOT NULL AS provisional,      -- whether its missing record may be in quarantine or in an incomplete feed, so that the finding may vanish
    p.reason AS provisional_reason,               -- quarantined record, quarantined share, quarantined pool usage or incomplete feed; NULL where it is not provisional
    f.item,                                       -- the recurring or one-off item that it is about; NULL for findings about usage and feeds, as below
    f.period_from,                                -- the beginning of the item's period, or its event, UTC
    f.period_to                                   -- the end of the item's period, exclusive, UTC; NULL of an event
FROM steps.finding_now f
LEFT JOIN steps.finding_provisional p ON p.finding_id = f.finding_id
