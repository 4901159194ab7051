-- The time that the feeds of each stage have reached, and the times of records in missing files.
-- Grain: one row per chain and stage. Owner: warehouse.
-- A missing record is late, not lost, while a feed of the stage has not reached its time or lacks a numbered file.
WITH feeds AS (
    SELECT
        f.value ->> '$.source' AS source, f.value ->> '$.stream' AS stream, f.value ->> '$.stage' AS stage,
        f.value ->> '$.pattern' AS pattern, f.value ->> '$.sequence_group' AS sequence_group, f.value ->> '$.node_group' AS node_group
    FROM json_each(getvariable('chain_feeds')) f
),
units AS (
    SELECT c.source, c.path, min(c.first_time) AS first_time, max(c.last_time) AS last_time
    FROM lake.events.control c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY c.source, c.path
),
numbered AS (
    -- A pattern that only Python's regular expressions support gives no number.
    SELECT
        u.source, u.first_time, u.last_time,
        if(f.node_group = '0', '', TRY(regexp_replace(u.path, '^.*?' || f.pattern || '.*$', chr(92) || f.node_group))) AS node,
        TRY_CAST(TRY(regexp_replace(u.path, '^.*?' || f.pattern || '.*$', chr(92) || f.sequence_group)) AS BIGINT) AS number
    FROM units u
    JOIN feeds f ON f.source = u.source
    WHERE f.pattern IS NOT NULL
),
neighbours AS (
    SELECT
        n.source, n.number, n.first_time AS from_time, lead(n.number) OVER files AS next_number,
        lead(n.last_time) OVER files AS until_time
    FROM numbered n
    WHERE n.number IS NOT NULL
    WINDOW files AS (PARTITION BY n.source, n.node ORDER BY n.number)
),
missing AS (
    SELECT n.source, list(struct_pack(from_time := n.from_time, until_time := n.until_time)) AS gaps
    FROM neighbours n
    WHERE n.next_number > n.number + 1
    GROUP BY n.source
),
reached AS (
    SELECT f.source, f.stream, f.stage, max(u.last_time) AS reached FROM feeds f LEFT JOIN units u ON u.source = f.source GROUP BY ALL
)
SELECT
    s.chain,                                      -- as in steps.chain_stage
    s.stage_no,                                   -- as in steps.chain_stage
    -- The least time that the feeds of the stage have reached; NULL where one feed has delivered nothing.
    if(count(*) = count(r.reached), min(r.reached), NULL) AS reached_time,
    flatten(coalesce(list(m.gaps) FILTER (m.gaps IS NOT NULL), [])) AS gaps -- spans of time of the records in missing files
FROM steps.chain_stage s
LEFT JOIN reached r ON CASE s.stage_no
    WHEN 0 THEN r.stream = 'usage'
    WHEN s.last_no THEN r.stream = 'charge'
    ELSE r.stream = 'stage' AND coalesce(r.stage, s.stage) = s.stage
END
LEFT JOIN missing m ON m.source = r.source
GROUP BY s.chain, s.stage_no
