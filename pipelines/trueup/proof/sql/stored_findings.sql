-- Changes of the kernel's findings in a range of buckets. Grain: one change of one finding. Owner: proof.
SELECT {columns}
FROM lake.events.finding AS f
WHERE coalesce(f.bucket, 0) BETWEEN $first AND $last AND f.kind NOT IN (SELECT unnest($feed_kinds))
