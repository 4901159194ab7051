-- The settings of [invoice], the times that the feeds of invoices and of charges have reached, and which records exist at all.
-- Grain: one row. Owner: warehouse.
-- A feed has reached its greatest time less its lateness, or its closing. Of several feeds, the least time counts.
WITH settings AS (
    SELECT CAST(getvariable('invoice_rules') AS JSON) AS rules
),
feeds AS (
    SELECT f.value ->> '$.source' AS source, f.value ->> '$.stream' AS stream, CAST(f.value ->> '$.lateness_us' AS BIGINT) AS lateness_us
    FROM settings s, json_each(s.rules, '$.feeds') f
),
observed AS (
    SELECT c.source, max(c.last_time) AS last_time
    FROM lake.events.control c
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY c.source
),
closed AS (
    SELECT d.source, max(d.through) AS through
    FROM lake.events.declaration d
    WHERE d.kind = 'close' AND d.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY d.source
),
reached AS (
    SELECT f.stream, greatest(o.last_time - to_microseconds(f.lateness_us), c.through) AS reached
    FROM feeds f
    LEFT JOIN observed o ON o.source = f.source
    LEFT JOIN closed c ON c.source = f.source
)
SELECT
    coalesce((SELECT p.timezone FROM steps.policy_now p), getvariable('project_timezone')) AS zone, -- time zone of all days of invoices
    to_microseconds(CAST(s.rules ->> '$.grace' AS BIGINT)) AS grace, -- time after its period within which an invoice is due
    s.rules ->> '$.period_to' = 'included' AS is_to_included, -- whether the day of period_to belongs to the period
    s.rules ->> '$.lines' = 'total' AS is_gross,  -- whether charges add up to the total rather than the net amount
    CAST(s.rules -> '$.except_segments' AS VARCHAR[]) AS except_segments, -- segments that receive no invoice
    (SELECT if(count(*) = count(r.reached), min(r.reached), NULL) FROM reached r WHERE r.stream = 'invoice') AS invoices_until, -- the time before which invoices are complete; NULL: never
    (SELECT if(count(*) = count(r.reached), min(r.reached), NULL) FROM reached r WHERE r.stream = 'charge') AS charges_until, -- the time that the feeds of charges have reached
    EXISTS (
        FROM lake.events.charge c
        WHERE c.invoice_id IS NOT NULL AND c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    ) AS has_lines                                -- whether any charge names an invoice
FROM settings s
