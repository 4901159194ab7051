-- Number of accepted, duplicate, filtered and rejected records of each file.
SELECT source, path, records, accepted, duplicate, filtered, quarantined, first_time, last_time, taken_at
FROM source_units
ORDER BY taken_at DESC
