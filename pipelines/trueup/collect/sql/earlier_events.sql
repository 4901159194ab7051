-- Events of source units that an earlier version of the mapping mapped, on the days of a part. Grain: one event. Owner: collect.
SELECT {columns}
FROM lake.events.{stream} AS e
WHERE ({days}) AND e.source_id IN (SELECT unnest($units))
