-- The last change of each finding, with when its current life began and what people decided.
-- Grain: one row per finding ever raised. Owner: warehouse.
-- A finding that was retracted and raised again began a new life: its revisions count from there.
WITH lives AS (
    SELECT
        c.finding_id,
        max(c.position) AS changed_position,
        max(c.position) FILTER (WHERE c.action = 'raised') AS raised_position,
        list(c.position) FILTER (WHERE c.stands) AS positions,
        arg_max(c.whole_expected_micros, c.position) FILTER (WHERE c.stands) AS expected_micros,
        arg_max(c.whole_billed_micros, c.position) FILTER (WHERE c.stands) AS billed_micros
    FROM steps.finding_change c
    GROUP BY c.finding_id
)
SELECT
    c.* REPLACE (
        -- Lakes of earlier versions have no money of the booking: their findings show their own part.
        coalesce(if(c.stands, b.expected_micros, l.expected_micros), c.expected_micros) AS whole_expected_micros,
        coalesce(if(c.stands, b.billed_micros, l.billed_micros), c.billed_micros) AS whole_billed_micros,
        if(c.stands, b.tolerated_micros, NULL) AS whole_tolerated_micros
    ),
    l.raised_position,                            -- where its current life began
    l.changed_position,                           -- where it last changed
    len(list_filter(l.positions, lambda p: p >= l.raised_position)) AS revision, -- 1 = as raised
    CASE WHEN c.stands THEN coalesce(nullif(d.decision, 'reopened'), 'open') ELSE c.action END AS status -- see findings
FROM lives l
JOIN steps.finding_change c ON c.finding_id = l.finding_id AND c.position = l.changed_position
LEFT JOIN steps.booking_now b ON b.booking_id = c.booking_id
LEFT JOIN steps.decision_now d ON d.finding_id = l.finding_id
