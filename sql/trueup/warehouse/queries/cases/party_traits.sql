-- The handsets, SIMs, cells and peers of each party, as far as a party of interest shares them, with their weights.
-- Grain: one row per party and trait. Owner: investigation.
-- Parties of interest are suspected or confirmed. A trait that more than $most_parties parties share links no parties: its weight is 0.
-- `began_at` and `squared_weight` are of all records and traits of the party, shared or not. The weights are added as decimals, so
-- that the sum does not depend on the order of the rows.
WITH suspected AS (
    SELECT DISTINCT t.party, t.status FROM main.suspicious_transactions t WHERE t.party IS NOT NULL
),
interest AS (
    SELECT s.party, bool_or(s.status NOT IN ('open', 'dismissed')) AS is_confirmed FROM suspected s GROUP BY s.party
),
records AS NOT MATERIALIZED (
    SELECT
        u.subscriber AS party, u.started_at, u.peer, u.cell, u.attributes ->> ('$."' || $imei || '"') AS handset,
        u.attributes ->> ('$."' || $imsi || '"') AS sim
    FROM lake.events.usage u
    WHERE u.subscriber IS NOT NULL AND u.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
),
beginnings AS (
    SELECT r.party, min(r.started_at) AS began_at FROM records r GROUP BY r.party
),
everyone AS (
    SELECT count(*) AS parties FROM beginnings
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
weighted AS (
    SELECT
        t.kind, t.value, count(*) AS parties, bool_or(i.party IS NOT NULL) AS is_of_interest,
        ln((any_value(e.parties) + 1) / count(*))
        * CASE t.kind WHEN 'handset' THEN $handset WHEN 'sim' THEN $sim WHEN 'cell' THEN $cell ELSE $peer END AS weight
    FROM traits t
    CROSS JOIN everyone e
    LEFT JOIN interest i ON i.party = t.party
    GROUP BY t.kind, t.value
    HAVING count(*) <= $most_parties
),
lengths AS (
    SELECT t.party, CAST(sum(CAST(w.weight * w.weight AS DECIMAL(18, 9))) AS DOUBLE) AS squared_weight
    FROM traits t
    JOIN weighted w ON w.kind = t.kind AND w.value = t.value
    GROUP BY t.party
)
SELECT
    t.party, t.kind, t.value, t.records, t.first_at, w.parties, w.weight, b.began_at, l.squared_weight,
    i.party IS NOT NULL AS is_suspected, coalesce(i.is_confirmed, false) AS is_confirmed
FROM traits t
JOIN weighted w ON w.kind = t.kind AND w.value = t.value AND w.is_of_interest
JOIN beginnings b ON b.party = t.party
JOIN lengths l ON l.party = t.party
LEFT JOIN interest i ON i.party = t.party
ORDER BY t.party, t.kind, t.value
