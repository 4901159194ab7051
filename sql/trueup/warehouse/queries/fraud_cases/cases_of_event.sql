-- The fraud cases with a given usage record, the case of the party first accused first.
SELECT c.case_id, c.status, c.party, c.summary, t.sentences, t.exposure, t.currency
FROM main.suspicious_transactions t
JOIN main.cases c ON c.case_id = t.case_id
WHERE t.event_id = $event_id
ORDER BY t.is_first DESC
