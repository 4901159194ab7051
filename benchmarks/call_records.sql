-- Call records as a mediation system writes them: one CSV file of three days, in order of time.
COPY (
    SELECT
        'C' || lpad(i::VARCHAR, 10, '0') AS cdr_id,
        '99811' || lpad((hash(i * 7) % 200000)::VARCHAR, 7, '0') AS msisdn,
        '99812' || lpad((hash(i * 11) % 900000)::VARCHAR, 7, '0') AS peer,
        ['voice', 'sms', 'data'][1 + i % 3] AS service,
        strftime(TIMESTAMP '2024-05-01' + INTERVAL (i * 3 * 86400 // {records}) SECOND, '%Y-%m-%d %H:%M:%S') AS started_at,
        (hash(i) % 36000) / 10.0::DECIMAL(10, 1) AS duration_s,
        'MSC0' || (i % 7) AS node,
        '998-10-' || (i % 5000) AS cell,
        i % 100 AS trunk
    FROM range({records}) AS t (i)
) TO '{path}' (HEADER)
