-- A finding is raised first; only what stands is revised, resolved or retracted; only what does not stand is raised.
-- A row: a change that its finding's history does not allow, or two changes at one position.
WITH changes AS (
    SELECT
        c.finding_id, c.position, c.action, c.stands,
        lag(c.stands) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS stood,
        lag(c.position) OVER (PARTITION BY c.finding_id ORDER BY c.position) AS before
    FROM steps.finding_change c
)
SELECT lower(hex(c.finding_id)) AS finding_id, c.position, c.action, c.before AS position_before
FROM changes c
WHERE c.action NOT IN ('raised', 'revised', 'resolved', 'retracted')
    OR (c.action = 'raised') = coalesce(c.stood, false)
    OR c.position = c.before
