-- A copy of the views with many findings, for benchmarks/workbench.py; the variable `findings` is their number.
CREATE TABLE findings AS
SELECT
    md5(CAST(i AS VARCHAR)) AS finding_id, ['unbilled', 'misrated', 'underbilled', 'duplicate_charge'][1 + CAST(h % 4 AS INTEGER)] AS kind,
    if(h % 50 = 0, 'confirmed', 'open') AS status, ['voice', 'data', 'sms'][1 + CAST(h // 7 % 3 AS INTEGER)] AS service,
    CAST(h % 1000000 AS VARCHAR) AS subscriber, CAST(NULL AS VARCHAR) AS peer, 'MSC' || CAST(h // 11 % 40 AS VARCHAR) AS node,
    DATE '2024-01-01' + CAST(h // 13 % 90 AS INTEGER) AS day, TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_seconds(CAST(h % 7776000 AS BIGINT)) AS started_at,
    CAST((CAST(h % 2000 AS BIGINT) - 500) / 100 AS DECIMAL(38, 6)) AS impact, CAST(h % 2000 AS BIGINT) * 10000 - 5000000 AS impact_micros,
    'EUR' AS currency, 'frontier' AS cause, CAST(NULL AS VARCHAR) AS reason, CAST(NULL AS VARCHAR) AS control, false AS provisional, md5(CAST(i AS VARCHAR)) AS usage_event_id,
    CAST(NULL AS VARCHAR) AS charge_event_id
FROM (SELECT i, hash(i) AS h FROM range(getvariable('findings')) r(i));
CREATE TABLE suspicious_transactions (day DATE, service VARCHAR, status VARCHAR, rules VARCHAR, party VARCHAR, peer VARCHAR, probability DOUBLE,
    started_at TIMESTAMPTZ, event_id VARCHAR);
CREATE TABLE case_members AS SELECT 'c' AS case_id, finding_id AS member_id FROM findings WHERE day < DATE '2024-03-25';
CREATE TABLE cases (case_id VARCHAR, type VARCHAR, kind VARCHAR, pattern VARCHAR, day DATE, status VARCHAR, findings BIGINT, open_findings BIGINT,
    transactions BIGINT, currency VARCHAR, impact DECIMAL(38, 6), open_impact DECIMAL(38, 6), confidence DOUBLE, age_days BIGINT, owner VARCHAR,
    due_on DATE, party VARCHAR, sentences VARCHAR, snoozed_until TIMESTAMPTZ, awaits_second_person BOOLEAN);
CREATE TABLE loose_findings AS
SELECT f.finding_id, f.kind, f.service, f.subscriber, f.day, f.status, f.currency, f.impact, f.provisional
FROM findings f
ANTI JOIN case_members m ON m.member_id = f.finding_id;
