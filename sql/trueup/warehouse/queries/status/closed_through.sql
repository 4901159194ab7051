-- The time up to which a source was declared complete, as ISO 8601 text in UTC; NULL where there is no closing.
SELECT strftime(max(d.through), '%Y-%m-%dT%H:%M:%S.%f+00:00')
FROM lake.events.declaration d
WHERE d.kind = 'close' AND d.source = $source
