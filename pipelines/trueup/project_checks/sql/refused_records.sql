-- Records in quarantine that no recycling has mapped again, of units ingested within the horizon of reconciliation.
-- Grain: one source unit with such records. Owner: project checks.
WITH rejected AS (
    SELECT coalesce(c.recycles, q.source_id) AS source_id, q.reason, q.rule
    FROM lake.events.quarantine AS q
    LEFT JOIN (
        SELECT r.source_id, any_value(r.recycles) AS recycles
        FROM lake.events.control AS r
        WHERE r.source_id IN (SELECT k.source_id FROM lake.events.quarantine AS k)
        GROUP BY r.source_id
    ) AS c ON c.source_id = q.source_id
    WHERE q.event_id NOT IN (SELECT r.event_id FROM lake.events.recycling AS r)
),
counted AS (
    SELECT r.source_id, count(*) AS refused, min(r.reason || ': ' || r.rule) AS example FROM rejected AS r GROUP BY r.source_id
),
units AS (
    SELECT
        c.source_id, any_value(c.source) AS source, any_value(c.path) AS path, CAST(sum(c.records) AS BIGINT) AS records,
        max(c.sequence_no) AS sequence_no
    FROM lake.events.control AS c
    WHERE c.recycles IS NULL AND c.source_id IN (SELECT n.source_id FROM counted AS n)
    GROUP BY c.source_id
    HAVING max(c.taken_at) >= (SELECT max(n.taken_at) FROM lake.events.control AS n) - to_microseconds($horizon_us)
)
SELECT u.source, u.path, u.records, n.refused, n.example
FROM counted AS n
JOIN units AS u ON u.source_id = n.source_id
ORDER BY u.source, u.sequence_no
