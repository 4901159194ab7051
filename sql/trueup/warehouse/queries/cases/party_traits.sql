-- The handsets, SIMs, cells and peers of each party, as far as a party of interest shares them.
-- Grain: one row per party and trait. Owner: investigation.
-- Parties of interest are suspected or confirmed. A trait that more than $most_parties parties share links no parties.
WITH suspected AS (
    SELECT DISTINCT t.party, t.status FROM main.suspicious_transactions t WHERE t.party IS NOT NULL
),
interest AS (
    SELECT s.party, bool_or(s.status NOT IN ('open', 'dismissed')) AS is_confirmed FROM suspected s GROUP BY s.party
),
records AS (
    SELECT
        u.subscriber AS party, u.started_at, u.peer, u.cell, u.attributes ->> ('$."' || $imei || '"') AS handset,
        u.attributes ->> ('$."' || $imsi || '"') AS sim
    FROM lake.events.usage u
    WHERE u.subscriber IS NOT NULL AND u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
traits AS (
    SELECT r.party, x.kind AS kind, x.value AS value, min(r.started_at) AS first_at, count(*) AS records
    FROM records r,
        unnest([
            {'kind': 'handset', 'value': r.handset}, {'kind': 'sim', 'value': r.sim}, {'kind': 'cell', 'value': r.cell},
            {'kind': 'peer', 'value': r.peer}
        ]) AS t(x)
    WHERE x.value IS NOT NULL
    GROUP BY r.party, x.kind, x.value
),
shared AS (
    SELECT t.kind, t.value, count(*) AS parties
    FROM traits t
    GROUP BY t.kind, t.value
    HAVING count(*) <= $most_parties AND bool_or(t.party IN (SELECT i.party FROM interest i))
)
SELECT
    t.party, t.kind, t.value, t.records, t.first_at, s.parties, i.party IS NOT NULL AS is_suspected, coalesce(i.is_confirmed, false) AS is_confirmed
FROM traits t
JOIN shared s ON s.kind = t.kind AND s.value = t.value
LEFT JOIN interest i ON i.party = t.party
ORDER BY t.party, t.kind, t.value
