-- The current state of each finding, including resolved and retracted ones.
-- Grain: one row per finding ever raised. Owner: warehouse.
SELECT
    lower(hex(f.finding_id)) AS finding_id,       -- id in lower-case hex: a hash of kind and subject, never of time or amount
    f.kind,                                       -- kind of the deviation: unbilled, underbilled, misrated, duplicate_charge, …
    f.status,                                     -- recovered, resolved or retracted where later records closed the finding; else the decision on the finding or its case (see decision_kinds); else open
    f.service,                                    -- service of the first record; '' for charges without a service
    f.subscriber,                                 -- subscriber of the first record
    f.peer,                                       -- peer of the first record
    f.node,                                       -- network node of the first record
    f.day,                                        -- day of the money, in the project's time zone; NULL for charges without any date
    f.started_at,                                 -- time of the first record, UTC
    steps.micros_as_money(f.whole_expected_micros) AS expected, -- money that should have been billed for the whole session, charge or period; of a closed finding, before the closing
    steps.micros_as_money(f.whole_billed_micros) AS billed, -- money that was billed for the whole session, charge or period
    steps.micros_as_money(f.impact_micros) AS impact, -- the part of expected - billed that this finding claims: positive is leakage, negative is overcharge
    f.impact_micros,                              -- the same amount in millionths
    steps.micros_as_money(f.impact_low_micros) AS impact_low, -- least money at stake of a bounded finding; NULL for a proven finding
    steps.micros_as_money(f.impact_high_micros) AS impact_high, -- most money at stake of a bounded finding; NULL for a proven finding
    f.records_low,                                -- least number of records concerned of a bounded finding; NULL for a proven finding
    f.records_high,                               -- greatest number of records concerned of a bounded finding; NULL for a proven finding
    f.currency,                                   -- currency of all amounts
    lower(hex(f.usage_event_ids[1])) AS usage_event_id, -- lowest id of the usage records; all are in finding_records
    lower(hex(f.charge_event_ids[1])) AS charge_event_id, -- lowest id of the charges; all are in finding_records
    f.cause,                                      -- cause of the last change: frontier, arrival, late_usage, late_charge, conflict, policy_change, …
    f.revision,                                   -- number of revisions since the last raise, plus one
    f.raised_position,                            -- the position at which the finding was last raised
    f.changed_position,                           -- the position of the last change
    f.reason,                                     -- explanation of the billed amount (former_version, wrong_increment, …) or of unrated usage, the differing plans, or the observation on a feed; NULL where it is unknown
    f.ended_at,                                   -- of a difference between two systems on a subscription since started_at: when they agreed again, UTC; of a feed: the end of the affected time
    f.source,                                     -- the feed that the finding is about; NULL for other findings
    f.control,                                    -- the control that raised a finding about a feed (files, records, volume, mix, schedule, expectations, …)
    p.finding_id IS NOT NULL AS provisional,      -- whether the missing record may be in quarantine or in an incomplete feed, so that the finding may vanish
    p.reason AS provisional_reason,               -- quarantined record, quarantined share, quarantined pool usage or incomplete feed; NULL for a finding that is not provisional
    f.item,                                       -- the recurring or one-off item that the finding is about; NULL for findings about usage and feeds, as are the columns below
    f.period_from,                                -- begin of the item's period, or the time of its event, UTC
    f.period_to                                   -- end of the item's period, exclusive, UTC; NULL for an event
FROM steps.finding_now f
LEFT JOIN steps.finding_provisional p ON p.finding_id = f.finding_id
