-- The money charged for suspicious transactions, which a fraudster will not pay.
-- Grain: one row per charged suspicious transaction, with the case of the party first accused. Owner: investigation.
-- Charges of the same session key count, less the overcharges that findings claim of them. Superseded contents do not count. Usage that was not billed is leakage, so
-- its money is not here. So money that is both leakage and fraud counts once.
WITH sessions AS (
    SELECT s.event_id, u.session_key, s.scored_snapshot, s.position, s.service, s.day, unhex(s.case_id) AS case_id, s.started_at
    FROM steps.suspicion s
    JOIN lake.events.usage u ON u.event_id = s.event_id AND u.day = s.day
    WHERE u.session_key IS NOT NULL AND s.is_first
),
-- A session with several suspicious records has its charges once, at its first record.
first_records AS (
    SELECT s.session_key, min_by(s, (s.started_at, s.event_id)) AS record FROM sessions s GROUP BY s.session_key
),
touched AS (
    SELECT DISTINCT k.content_key
    FROM steps.record_content k
    SEMI JOIN first_records r ON r.session_key = k.session_key
    WHERE k.stream = 'charge' AND k.is_delivered
),
-- A restated charge may have another session key, so all contents of its record are compared.
superseded AS (
    SELECT k.event_id
    FROM steps.record_content k
    SEMI JOIN touched t ON t.content_key = k.content_key
    WHERE k.stream = 'charge'
    QUALIFY k.is_delivered AND rank() OVER (PARTITION BY k.content_key ORDER BY k.precedence DESC) > 1
),
charged AS (
    SELECT c.session_key, c.event_id, any_value(c.currency) AS currency, any_value(c.amount_micros) AS amount_micros
    FROM lake.events.charge c
    SEMI JOIN first_records r ON r.session_key = c.session_key
    ANTI JOIN superseded o ON o.event_id = c.event_id
    WHERE c.snapshot_id <= coalesce(getvariable('as_of_snapshot'), 9223372036854775807)
    GROUP BY c.session_key, c.event_id
),
overcharged AS (
    SELECT m.event_id, sum(m.impact_micros) AS impact_micros
    FROM (
        SELECT f.finding_id, f.impact_micros, unnest(f.charge_event_ids[:1]) AS event_id
        FROM steps.finding_now f
        WHERE f.stands AND f.impact_micros < 0 AND f.control IS NULL
    ) m
    GROUP BY m.event_id
)
SELECT
    r.record.event_id AS event_id,                -- id of the usage record, 16 bytes
    r.record.case_id AS case_id,                  -- fraud case of the record, 16 bytes
    r.record.scored_snapshot AS snapshot,         -- the commit of the first score of the transaction
    r.record.position AS position,                -- position of the score
    r.record.service AS service,                  -- as in the usage record
    r.record.day AS day,                          -- day in UTC
    coalesce(any_value(c.currency), getvariable('project_currency')) AS currency, -- currency of the charges
    CAST(greatest(sum(c.amount_micros) + coalesce(sum(o.impact_micros), 0), 0) AS DECIMAL(38, 0)) AS micros -- charged amount in millionths
FROM first_records r
JOIN charged c ON c.session_key = r.session_key
LEFT JOIN overcharged o ON o.event_id = c.event_id
GROUP BY ALL
