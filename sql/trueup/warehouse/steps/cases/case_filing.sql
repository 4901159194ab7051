-- Every filing of a finding in a case, as of the requested position or time.
-- Grain: one row per finding and filing. Owner: investigation.
SELECT
    f.finding_id,                                 -- 16 bytes
    f.case_id,                                    -- 16 bytes
    f.filed_at,                                   -- when the finding was filed in the case
    f.snapshot_id AS snapshot,                    -- the commit that filed the finding
    lead(f.snapshot_id) OVER (PARTITION BY f.finding_id ORDER BY f.snapshot_id) AS until_snapshot -- the commit that filed the finding elsewhere; NULL: this filing counts
FROM lake.events.case_filing f
WHERE f.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR f.filed_at <= getvariable('as_of_moment'))
