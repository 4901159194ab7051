-- What each kind of decision does to the state and to the money of its subject.
-- Grain: one row per kind of decision. Owner: investigation.
-- The registry of decisions in trueup.reconcile is the source; this view only shows it.
SELECT
    k.name AS decision,                           -- as decisions store it
    k.meaning,                                    -- one sentence: what the person says
    k.status,                                     -- the status it gives its subject; NULL where it changes none
    k.account,                                    -- the account of money_ledger that it moves the money to; NULL where it moves none
    k.is_fraud,                                   -- the label it gives a suspicious transaction; NULL where it gives none
    k.subject,                                    -- any, case (of a root cause or fraud) or root_cause
    k.is_recorded                                 -- whether it is still recorded; older lakes have others
FROM (
    SELECT unnest(from_json(
        getvariable('decision_kinds'),
        '[{"name": "VARCHAR", "meaning": "VARCHAR", "status": "VARCHAR", "account": "VARCHAR", "is_fraud": "BOOLEAN", "subject": "VARCHAR", "is_recorded": "BOOLEAN"}]'
    )) AS k
)
