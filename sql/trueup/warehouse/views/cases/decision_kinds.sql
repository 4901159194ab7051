-- The effect of each kind of decision on the status and the money of its subject.
-- Grain: one row per kind of decision. Owner: investigation.
-- The registry of decisions in trueup.reconcile is the source; this view only shows it.
SELECT
    k.name AS decision,                           -- name of the decision, as decisions store it
    k.meaning,                                    -- one sentence: the statement that the person makes
    k.status,                                     -- the status that the decision gives its subject; NULL where it changes none
    k.account,                                    -- the account of money_ledger to which the decision moves the money; NULL where it moves none
    k.is_fraud,                                   -- the label that the decision gives a suspicious transaction; NULL where it gives none
    k.subject,                                    -- the permitted subject: any, case (of a root cause or fraud) or root_cause
    k.is_recorded                                 -- whether decisions of this kind are still recorded; older lakes have others
FROM (
    SELECT unnest(from_json(
        getvariable('decision_kinds'),
        '[{"name": "VARCHAR", "meaning": "VARCHAR", "status": "VARCHAR", "account": "VARCHAR", "is_fraud": "BOOLEAN", "subject": "VARCHAR", "is_recorded": "BOOLEAN"}]'
    )) AS k
)
