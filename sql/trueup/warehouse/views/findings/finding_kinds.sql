-- The meaning of each kind of finding, its evidence, and the next step of an analyst.
-- Grain: one row per kind of finding. Owner: reconcile.
-- The registry of kinds in trueup.reconcile is the source; this view only shows it.
SELECT
    k.name AS kind,                               -- name of the kind, as in findings.kind
    k.meaning,                                    -- one sentence: what is wrong
    k.producer,                                   -- the step that raises findings of the kind: reconcile, quality or fraud
    k.side,                                       -- the records that the finding is about: usage, charge, both, states, feed or scores
    k.evidence,                                   -- proven: exact, in the leakage views; bounded: a range, in exposure_by_day; none: without money
    k.missing_side,                               -- the stream whose incompleteness makes the finding provisional; NULL where no stream can
    k.next_step                                   -- the next step of an analyst
FROM (
    SELECT unnest(from_json(
        getvariable('finding_kinds'),
        '[{"name": "VARCHAR", "meaning": "VARCHAR", "producer": "VARCHAR", "side": "VARCHAR", "evidence": "VARCHAR", "missing_side": "VARCHAR", "next_step": "VARCHAR"}]'
    )) AS k
)
