-- Each file: records accepted, duplicate, left out and rejected.
SELECT source, path, records, accepted, duplicate, filtered, quarantined, first_time, last_time, taken_at
FROM source_units
ORDER BY taken_at DESC
