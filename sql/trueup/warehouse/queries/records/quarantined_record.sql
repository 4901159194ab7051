-- One rejected record.
SELECT q.* FROM main.quarantine q WHERE q.event_id = $event_id
