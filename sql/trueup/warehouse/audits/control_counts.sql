-- The counts of a unit's control rows equal the events and rejected records of the log.
-- A row: a unit whose events or rejected records differ from its control rows.
WITH declared AS (
    SELECT c.source_id, sum(c.accepted) AS accepted, sum(c.quarantined) AS quarantined
    FROM lake.events.control c
    GROUP BY c.source_id
),
stored AS (
    SELECT u.source_id, 1 AS accepted, 0 AS quarantined FROM lake.events.usage u
    UNION ALL
    SELECT c.source_id, 1, 0 FROM lake.events.charge c
    UNION ALL
    SELECT g.source_id, 1, 0 FROM lake.events.stage g
    UNION ALL
    SELECT i.source_id, 1, 0 FROM lake.events.invoice i
    UNION ALL
    SELECT s.source_id, 1, 0 FROM lake.events.subscriber s
    UNION ALL
    SELECT t.source_id, 1, 0 FROM lake.events.tariff t
    UNION ALL
    SELECT q.source_id, 0, 1 FROM lake.events.quarantine q
),
counted AS (
    SELECT h.source_id, sum(h.accepted) AS accepted, sum(h.quarantined) AS quarantined FROM stored h GROUP BY h.source_id
)
SELECT
    coalesce(t.source_id, c.source_id) AS source_id, t.accepted AS accepted_told, c.accepted AS accepted_held,
    t.quarantined AS quarantined_told, c.quarantined AS quarantined_held
FROM declared t
FULL JOIN counted c ON c.source_id = t.source_id
WHERE t.source_id IS NULL OR t.accepted <> coalesce(c.accepted, 0) OR t.quarantined <> coalesce(c.quarantined, 0)
