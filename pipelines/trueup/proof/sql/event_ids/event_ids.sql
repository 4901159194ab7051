-- Events of a stream whose id, canonical form, bucket or day differs from its stored columns. Grain: one event. Owner: proof.
SELECT
    e.event_id, e.source_id, e.source_row, e.record_key, e.canonical_version,
    e.event_id IS DISTINCT FROM {event_id} AS bad_id,
    e.canonical_version IS DISTINCT FROM ({version}) AS bad_version,
    e.bucket, {bucket} AS bucket_made,
    {day} AS day, {day_made} AS day_made
FROM {rows} AS e
WHERE {since}
    AND (bad_id OR bad_version OR e.bucket IS DISTINCT FROM bucket_made OR {day} IS DISTINCT FROM {day_made})
