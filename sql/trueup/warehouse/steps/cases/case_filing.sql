-- Every filing of a finding in a case, as of the point asked for.
-- Grain: one row per finding and filing. Owner: investigation.
SELECT
    f.finding_id,                                 -- 16 bytes
    f.case_id,                                    -- 16 bytes
    f.filed_at,                                   -- when it was filed
    f.snapshot_id AS snapshot,                    -- the commit that filed it
    lead(f.snapshot_id) OVER (PARTITION BY f.finding_id ORDER BY f.snapshot_id) AS until_snapshot -- the commit that filed it elsewhere; NULL: the filing that counts
FROM lake.events.case_filing f
WHERE f.snapshot_id < coalesce(getvariable('as_of_next_snapshot'), 9223372036854775807)
    AND (getvariable('as_of_moment') IS NULL OR f.filed_at <= getvariable('as_of_moment'))
