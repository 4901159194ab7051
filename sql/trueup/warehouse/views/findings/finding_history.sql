-- History of each finding: every raise, revision, resolution and retraction.
-- Grain: one row per finding and position it changed at. Owner: warehouse.
SELECT
    lower(hex(c.finding_id)) AS finding_id,       -- the finding, as in findings
    c.position,                                   -- the position of the log it changed at
    p.committed_at,                               -- when that position was committed, UTC
    c.action,                                     -- raised, revised, resolved or retracted
    c.cause,                                      -- why
    c.kind,                                       -- what is wrong
    c.service,                                    -- of its first record; '' for charges without a service
    c.subscriber,                                 -- of its first record
    c.peer,                                       -- of its first record
    c.node,                                       -- network node of its first record
    c.day,                                        -- day its money is on, in the project's time zone
    c.started_at,                                 -- time of its first record, UTC
    steps.micros_as_money(coalesce(
        last_value(if(c.stands, c.whole_expected_micros, NULL) IGNORE NULLS) OVER changes, c.expected_micros
    )) AS expected, -- what should have been billed for its whole session, charge or period after this change; of a resolution or retraction, before it
    steps.micros_as_money(coalesce(
        last_value(if(c.stands, c.whole_billed_micros, NULL) IGNORE NULLS) OVER changes, c.billed_micros
    )) AS billed, -- what was billed for its whole session, charge or period
    steps.micros_as_money(c.impact_micros) AS impact, -- the part of expected - billed that this finding claims
    c.impact_micros,                              -- the same in millionths
    c.currency,                                   -- of all its amounts
    lower(hex(c.usage_event_ids[1])) AS usage_event_id, -- its lowest usage record
    lower(hex(c.charge_event_ids[1])) AS charge_event_id, -- its lowest charge
    coalesce(len(c.usage_event_ids), 0) AS usage_records, -- how many usage records it is about
    coalesce(len(c.charge_event_ids), 0) AS charge_records, -- how many charges it is about
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
