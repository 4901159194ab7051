-- All decisions on one finding, oldest first.
SELECT d.decision, d.note, d.decided_by, d.decided_at
FROM lake.events.decision d
WHERE d.finding_id = unhex($finding_id)
    AND d.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR d.decided_at <= getvariable('as_of_moment'))
ORDER BY d.snapshot_id
