-- The position up to which the log is reconciled, at most the requested position.
-- Grain: one row. Owner: warehouse.
SELECT
    least(
        coalesce(max(c.position), 0), coalesce(getvariable('as_of_position'), 9223372036854775807)
    ) AS position                                 -- all positions up to this one are reconciled
FROM lake.events.consumer c
WHERE c.consumer = 'reconcile'
