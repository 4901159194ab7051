-- One UTC day of usage in the log's columns, {records} records of 200 nodes; one in ten thousand breaks a rule.
CREATE TABLE usage AS
SELECT
    md5(i::VARCHAR) AS event_id,
    'msc@' || (i // 1000000) AS source_id,
    'C' || i AS record_key,
    'K' || i AS session_key,
    ['voice', 'sms', 'data'][1 + i % 3] AS service,
    if(hash(i) % 10000 = 0, NULL, '99811' || lpad((hash(i * 7) % 2000000)::VARCHAR, 7, '0')) AS subscriber,
    '99812' || lpad((hash(i * 11) % 9000000)::VARCHAR, 7, '0') AS peer,
    'MSC' || lpad((i % 200)::VARCHAR, 3, '0') AS node,
    make_timestamptz(1714521600000000 + i * 86400000000 // {records}) AS started_at,
    (hash(i) % 36000)::BIGINT * 1000000 AS quantity_micros,
    NULL::BIGINT AS partial_no
FROM range({records}) AS t (i)
