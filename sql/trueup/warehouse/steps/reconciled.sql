-- How far the findings and their sums hold everything, at the position asked for.
-- Grain: one row. Owner: warehouse.
SELECT
    least(
        coalesce(max(c.position), 0), coalesce(getvariable('as_of_position'), 9223372036854775807)
    ) AS position                                 -- everything up to here is reconciled
FROM lake.events.consumer c
WHERE c.consumer = 'reconcile'
