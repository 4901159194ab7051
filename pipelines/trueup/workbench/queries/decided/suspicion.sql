-- The suspicious transactions of the cases concerned, in place of the step `suspicion`.
-- Grain: one row per suspicious transaction and accused party. Owner: workbench.
SELECT
    t.rowid AS row,                               -- row number of the finding in the copy
    unhex(t.event_id) AS event_id, t.position, t.scored_snapshot, t.day, t.started_at, t.service, t.subscriber, t.peer, t.party,
    t.is_first, t.probability, t.margin, t.model_id, t.in_sample, t.rules,
    to_json({'sentences': CAST(t.sentences AS JSON), 'typology': t.typology, 'action': t.action}) AS reasons,
    CAST(t.exposure * 1000000 AS DECIMAL(38, 0)) AS loss_micros, t.currency, t.case_id
FROM copy.main.suspicious_transactions t
SEMI JOIN temp.main.concerned_case c ON c.case_id = t.case_id
