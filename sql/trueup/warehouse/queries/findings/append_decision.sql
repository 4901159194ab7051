-- Appends one decision on each of a list of subjects. The id of a decision is a hash of its content, including details if there are
-- any.
INSERT INTO lake.events.decision BY NAME
SELECT
    unhex(left(sha256(concat_ws(';', if($details IS NULL, '1;decision', '2;decision'), s.id, $decision, length($note), $note,
        length($decided_by), $decided_by, epoch_us(CAST($decided_at AS TIMESTAMPTZ)), CAST($details AS VARCHAR))), 32)) AS event_id,
    unhex(s.id) AS finding_id,
    $decision AS decision,
    nullif($note, '') AS note,
    nullif($decided_by, '') AS decided_by,
    CAST($decided_at AS TIMESTAMPTZ) AS decided_at,
    CAST($details AS JSON) AS details
FROM (SELECT DISTINCT unnest(CAST($ids AS VARCHAR[])) AS id) s
