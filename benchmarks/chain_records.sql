-- {sessions} sessions of ten units at four stages. Each of the three hops loses one in a hundred of the sessions that reach the
-- hop.
INSERT INTO lake.events.{stream} BY NAME
SELECT
    unhex(md5('{stage}' || i)) AS event_id,
    1 AS canonical_version,
    '{source}@a' AS source_id,
    i AS source_row,
    (hash(i % 200000) % 64)::SMALLINT AS bucket,
    DATE '2024-03-01' AS day,
    '{source}' AS key_scope,
    '{stage}' || i AS record_key,
    'K' || i AS session_key,
    'voice' AS service,
    'A' || (i % 200000) AS subscriber,
    make_timestamptz(1709251200000000 + i * 80000000000 // {sessions}) AS started_at,
    10000000 AS quantity_micros,
    {own}
FROM range({sessions}) AS t (i)
WHERE ({hops_before} < 1 OR hash(i, 1) % 100 > 0) AND ({hops_before} < 2 OR hash(i, 2) % 100 > 0)
    AND ({hops_before} < 3 OR hash(i, 3) % 100 > 0)
