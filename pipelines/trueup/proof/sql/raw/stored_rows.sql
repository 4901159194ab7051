-- Rows of units within a range of record numbers; {or_missing} adds those without a number. Grain: one record. Owner: proof.
SELECT {columns}
FROM lake.events.{table} AS e
WHERE e.source_id IN (SELECT unnest($units)) AND (e.source_row BETWEEN $first AND $last{or_missing})
