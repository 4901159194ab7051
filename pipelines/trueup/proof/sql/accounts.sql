-- Number of records of every unit, by its control rows and by the rows in the tables.
-- Grain: one source unit. Owner: proof.
WITH counted AS (
    SELECT
        source_id,
        any_value(stream) AS stream,
        sum(records)::BIGINT AS records,
        sum(accepted)::BIGINT AS accepted,
        sum(duplicate)::BIGINT AS duplicate,
        sum(coalesce(filtered, 0))::BIGINT AS filtered,
        sum(quarantined)::BIGINT AS quarantined,
        count(*) AS parts,
        count(DISTINCT part_no) AS distinct_parts,
        max(part_no) AS last_part_no,
        bool_or(last_part) AS is_complete,
        max(declared_records) AS declared_records
    FROM lake.events.control
    GROUP BY source_id
),
events AS (
    SELECT source_id, count(*) AS n FROM lake.events.usage GROUP BY source_id
    UNION ALL
    SELECT source_id, count(*) AS n FROM lake.events.charge GROUP BY source_id
    UNION ALL
    SELECT source_id, count(*) AS n FROM lake.events.stage GROUP BY source_id
    UNION ALL
    SELECT source_id, count(*) AS n FROM lake.events.invoice GROUP BY source_id
    UNION ALL
    SELECT source_id, count(*) AS n FROM lake.events.subscriber GROUP BY source_id
    UNION ALL
    SELECT source_id, count(*) AS n FROM lake.events.tariff GROUP BY source_id
),
rejected AS (
    SELECT source_id, count(*) AS n FROM lake.events.quarantine GROUP BY source_id
)
SELECT
    coalesce(counted.source_id, events.source_id, rejected.source_id) AS source_id,
    counted.* EXCLUDE (source_id),
    coalesce(events.n, 0) AS event_rows,
    coalesce(rejected.n, 0) AS quarantine_rows
FROM counted
FULL JOIN events ON events.source_id = counted.source_id
FULL JOIN rejected ON rejected.source_id = coalesce(counted.source_id, events.source_id)
ORDER BY ALL
