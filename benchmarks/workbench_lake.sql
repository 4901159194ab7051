-- One part of the lake for benchmarks/workbench_lake.py: findings from number `first_finding` up to, not including, `end_finding`,
-- and scores likewise. The part that begins with finding 0 also opens the cases.
-- Nine of ten findings are filed in one of 400 cases, and one of fifty is confirmed. A party has ten suspicious transactions a day.
INSERT INTO lake.events.finding BY NAME
SELECT
    unhex(md5('f' || i)) AS finding_id, 1 AS position, 'raised' AS action, 'frontier' AS cause,
    ['unbilled', 'misrated', 'underbilled', 'duplicate_charge'][1 + CAST(h % 4 AS INTEGER)] AS kind, CAST(h % 64 AS SMALLINT) AS bucket,
    ['voice', 'data', 'sms'][1 + CAST(h // 7 % 3 AS INTEGER)] AS service, '+4930' || (h // 5 % 1000000) AS subscriber,
    '+4940' || (h // 3 % 1000000) AS peer, 'MSC' || (h // 11 % 40) AS node, DATE '2024-01-01' + CAST(h // 13 % 90 AS INTEGER) AS day,
    TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_days(CAST(h // 13 % 90 AS INTEGER)) + to_seconds(CAST(h // 17 % 86400 AS BIGINT)) AS started_at,
    CAST(h % 2000 AS BIGINT) * 10000 AS expected_micros, if(h % 4 = 0, 0, 5000000) AS billed_micros, 'EUR' AS currency,
    [unhex(md5('u' || i))] AS usage_event_ids, if(h % 4 = 0, [], [unhex(md5('c' || i))]) AS charge_event_ids, [] AS content_event_ids
FROM (SELECT i, hash(i) AS h FROM range(getvariable('first_finding'), getvariable('end_finding')) r(i));
INSERT INTO lake.events.case_opening BY NAME
SELECT
    unhex(md5('o' || c)) AS case_id, ['unbilled', 'misrated', 'underbilled', 'duplicate_charge'][1 + CAST(c % 4 AS INTEGER)] AS kind,
    'EUR' AS currency, to_json([['side', 'leakage'], ['node', 'MSC' || c]]) AS pattern, 1 AS position,
    TIMESTAMPTZ '2024-04-01 00:00:00+00' AS opened_at, to_json({'findings': 1}) AS evidence
FROM range(if(getvariable('first_finding') = 0, 400, 0)) r(c);
INSERT INTO lake.events.case_filing BY NAME
SELECT
    unhex(md5('f' || i)) AS finding_id, unhex(md5('o' || CAST(4 * (h // 23 % 100) + h % 4 AS VARCHAR))) AS case_id, 1 AS position,
    TIMESTAMPTZ '2024-04-01 00:00:00+00' AS filed_at
FROM (SELECT i, hash(i) AS h FROM range(getvariable('first_finding'), getvariable('end_finding')) r(i))
WHERE h % 10 > 0;
INSERT INTO lake.events.decision BY NAME
SELECT
    unhex(md5('d' || i)) AS event_id, unhex(md5('f' || i)) AS finding_id, 'confirmed' AS decision, 'ann' AS decided_by,
    TIMESTAMPTZ '2024-04-01 01:00:00+00' AS decided_at
FROM range(getvariable('first_finding'), getvariable('end_finding')) r(i)
WHERE hash(i) // 29 % 50 = 0;
INSERT INTO lake.events.score BY NAME
SELECT
    unhex(md5('s' || i)) AS event_id, 1 AS position, 'model' AS source, 'm' AS name, 'champion' AS role, CAST(i % 64 AS SMALLINT) AS bucket,
    DATE '2024-01-01' + CAST(i // 10 % 90 AS INTEGER) AS day,
    TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_days(CAST(i // 10 % 90 AS INTEGER)) + to_seconds(CAST(hash(i) % 86400 AS BIGINT)) AS started_at,
    'voice' AS service, '+4930' || (i // 10) AS subscriber, '+88' || (hash(i) % 500) AS peer, '+4930' || (i // 10) AS party, 2.5 AS margin,
    0.5 + (hash(i) % 500) / 1000.0 AS probability, to_json({'sentences': ['it goes abroad'], 'adds': {'to_abroad': 1.5}}) AS reasons,
    1 AS party_rank, false AS in_sample
FROM range(getvariable('first_score'), getvariable('end_score')) r(i);
