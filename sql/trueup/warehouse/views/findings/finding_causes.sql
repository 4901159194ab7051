-- The meaning of each cause of a change of a finding.
-- Grain: one row per cause. Owner: reconcile.
-- The registry of causes in trueup.reconcile is the source; this view only shows it.
SELECT
    c.key AS cause,                               -- name of the cause, as in findings.cause and finding_history.cause
    c.value ->> '$' AS meaning                    -- one sentence: why the finding changed
FROM json_each(getvariable('finding_causes')) c
