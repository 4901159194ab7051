-- The last change of each finding, with the position of its last raise and the decision on it.
-- Grain: one row per finding ever raised. Owner: warehouse.
-- A retracted finding may be raised again. Revisions count from the last raise.
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
        -- Findings of lakes of earlier versions have no money of the booking and show their own part.
        coalesce(if(c.stands, b.expected_micros, l.expected_micros), c.expected_micros) AS whole_expected_micros,
        coalesce(if(c.stands, b.billed_micros, l.billed_micros), c.billed_micros) AS whole_billed_micros,
        if(c.stands, b.tolerated_micros, NULL) AS whole_tolerated_micros
    ),
    l.raised_position,                            -- the position at which the finding was last raised
    l.changed_position,                           -- the position of the last change
    len(list_filter(l.positions, lambda p: p >= l.raised_position)) AS revision, -- number of revisions since the last raise, plus one
    steps.finding_status(c.stands, c.action, c.cause, d.decision) AS status -- status as in the view findings
FROM lives l
JOIN steps.finding_change c ON c.finding_id = l.finding_id AND c.position = l.changed_position
LEFT JOIN steps.booking_now b ON b.booking_id = c.booking_id
LEFT JOIN steps.decision_now d ON d.finding_id = l.finding_id
