-- What each kind of finding means, which evidence it has and what to do next.
-- Grain: one row per kind of finding. Owner: reconcile.
-- The registry of kinds in trueup.reconcile is the source; this view only shows it.
SELECT
    k.name AS kind,                               -- as in findings.kind
    k.meaning,                                    -- one sentence: what is wrong
    k.producer,                                   -- which step raises it: reconcile, quality or fraud
    k.side,                                       -- which records it is about: usage, charge, both, states, feed or scores
    k.evidence,                                   -- proven: exact, in the leakage views; bounded: a range, in exposure_by_day; none: no money
    k.missing_side,                               -- the stream whose incompleteness makes it provisional; NULL where none can
    k.next_step                                   -- what an analyst does next
FROM (
    SELECT unnest(from_json(
        getvariable('finding_kinds'),
        '[{"name": "VARCHAR", "meaning": "VARCHAR", "producer": "VARCHAR", "side": "VARCHAR", "evidence": "VARCHAR", "missing_side": "VARCHAR", "next_step": "VARCHAR"}]'
    )) AS k
)
