-- The newest time that a tick in force declared, at the requested position. Grain: one row; NULL without a tick.
SELECT max(t.through) AS clock
FROM steps.tick t
WHERE t.superseded_at IS NULL
