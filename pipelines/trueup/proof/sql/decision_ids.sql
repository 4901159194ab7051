-- Decisions whose id differs from the hash of their content, or whose subject is no finding, case or suspicious transaction of the
-- log.
-- Grain: one decision. Owner: proof.
WITH decided AS (
    SELECT d.*, unhex(left(sha256(concat_ws(';', if(d.details IS NULL, '1;decision', '2;decision'), lower(hex(d.finding_id)), d.decision,
        length(coalesce(d.note, '')), coalesce(d.note, ''), length(coalesce(d.decided_by, '')), coalesce(d.decided_by, ''),
        epoch_us(d.decided_at), CAST(d.details AS VARCHAR))), 32)) AS expected_id
    FROM lake.events.decision AS d
),
cases AS (
    SELECT unhex(left(sha256('case;' || coalesce(s.party, '') || ';' || s.day), 32)) AS case_id FROM lake.events.score AS s
)
SELECT d.event_id, d.finding_id, d.decision, d.decided_by, d.event_id IS DISTINCT FROM d.expected_id AS bad_id,
    d.finding_id NOT IN (SELECT f.finding_id FROM lake.events.finding AS f)
    AND d.finding_id NOT IN (SELECT s.event_id FROM lake.events.score AS s)
    AND d.finding_id NOT IN (SELECT o.case_id FROM lake.events.case_opening AS o)
    AND d.finding_id NOT IN (SELECT c.case_id FROM cases AS c) AS has_no_subject
FROM decided AS d
WHERE bad_id OR has_no_subject
ORDER BY d.decided_at, d.event_id
