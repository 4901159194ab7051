-- Appends one decision; its id is a hash of its content.
INSERT INTO lake.events.decision BY NAME
SELECT
    unhex(left(sha256(concat_ws(';', '1;decision', $finding_id, $decision, length($note), $note, length($decided_by), $decided_by,
        epoch_us(CAST($decided_at AS TIMESTAMPTZ)))), 32)) AS event_id,
    unhex($finding_id) AS finding_id,
    $decision AS decision,
    nullif($note, '') AS note,
    nullif($decided_by, '') AS decided_by,
    CAST($decided_at AS TIMESTAMPTZ) AS decided_at
