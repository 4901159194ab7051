-- History of each finding: every raise, revision, resolution and retraction.
-- Grain: one row per finding and position at which it changed. Owner: warehouse.
SELECT
    lower(hex(c.finding_id)) AS finding_id,       -- the finding, as in findings
    c.position,                                   -- the position of the log at which the finding changed
    p.committed_at,                               -- when the position was committed, UTC
    c.action,                                     -- raised, revised, resolved or retracted
    c.cause,                                      -- cause of the change
    c.kind,                                       -- kind of the finding
    c.service,                                    -- service of the first record; '' for charges without a service
    c.subscriber,                                 -- subscriber of the first record
    c.peer,                                       -- peer of the first record
    c.node,                                       -- network node of the first record
    c.day,                                        -- day of the money, in the project's time zone
    c.started_at,                                 -- time of the first record, UTC
    steps.micros_as_money(coalesce(
        last_value(if(c.stands, c.whole_expected_micros, NULL) IGNORE NULLS) OVER changes, c.expected_micros
    )) AS expected, -- money that should have been billed for the whole session, charge or period, after this change; of a resolution or retraction, before it
    steps.micros_as_money(coalesce(
        last_value(if(c.stands, c.whole_billed_micros, NULL) IGNORE NULLS) OVER changes, c.billed_micros
    )) AS billed, -- money that was billed for the whole session, charge or period
    steps.micros_as_money(c.impact_micros) AS impact, -- the part of expected - billed that this finding claims
    c.impact_micros,                              -- the same amount in millionths
    c.currency,                                   -- currency of all amounts
    lower(hex(c.usage_event_ids[1])) AS usage_event_id, -- lowest id of the usage records
    lower(hex(c.charge_event_ids[1])) AS charge_event_id, -- lowest id of the charges
    coalesce(len(c.usage_event_ids), 0) AS usage_records, -- number of usage records of the finding
    coalesce(len(c.charge_event_ids), 0) AS charge_records, -- number of charges of the finding
    c.reason,                                     -- as in findings
    c.ended_at,                                   -- as in findings
    c.source,                                     -- as in findings
    c.control,                                    -- as in findings
    c.records_low,                                -- as in findings
    c.records_high,                               -- as in findings
    steps.micros_as_money(c.impact_low_micros) AS impact_low, -- as in findings
    steps.micros_as_money(c.impact_high_micros) AS impact_high -- as in findings
FROM steps.finding_change c
LEFT JOIN lake.events.position p ON p.position = c.position
WINDOW changes AS (PARTITION BY c.finding_id ORDER BY c.position ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
