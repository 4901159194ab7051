-- Ticks of the injected clock, and closings, each at its position. Grain: one declaration. Owner: quality.
SELECT d.kind, d.source, epoch_us(d.through) AS through_us, p.position
FROM lake.events.declaration AS d
JOIN lake.events.position AS p ON p.snapshot_id = d.snapshot_id
WHERE d.kind IN ('tick', 'close') AND p.position <= $upto
