-- Only a finding that is not open is raised; only an open one is revised, resolved or retracted.
-- A row: a change that contradicts the finding's history, or a second change at one position.
WITH changes AS (
    SELECT
        c.finding_id, c.position, c.action, c.stands,
        lag(c.stands) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS was_open,
        lag(c.position) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS before
    FROM steps.finding_change c
)
SELECT lower(hex(c.finding_id)) AS finding_id, c.position, c.action, c.before AS position_before
FROM changes c
WHERE c.action NOT IN ('raised', 'revised', 'resolved', 'retracted')
    OR (c.action = 'raised') = coalesce(c.was_open, false)
    OR c.position = c.before
