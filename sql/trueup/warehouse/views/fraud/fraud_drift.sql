-- Difference of a day from a model's training data, as the population stability index.
-- Grain: one row per model, UTC day and feature; the feature `(margin)` is the output of the model. Owner: fraud.
WITH bins AS (
    SELECT d.name, d.day, d.feature, d.bin, sum(d.transactions) AS transactions, any_value(d.expected) AS expected
    FROM lake.events.drift d
    WHERE d.position <= coalesce(getvariable('as_of_position'), 9223372036854775807)
    GROUP BY ALL
),
shares AS (
    SELECT
        b.name, b.day, b.feature, b.transactions, greatest(b.expected, 1e-4) AS expected,
        greatest(b.transactions / nullif(sum(b.transactions) OVER (PARTITION BY b.name, b.day, b.feature), 0), 1e-4) AS actual
    FROM bins b
)
SELECT
    s.name AS model_id,                           -- id of the model
    s.day,                                        -- day in UTC
    s.feature,                                    -- name of the feature, or (margin)
    CAST(sum(s.transactions) AS BIGINT) AS transactions, -- number of scored transactions
    sum((s.actual - s.expected) * ln(s.actual / s.expected)) AS psi, -- population stability index; 0 for the same distribution
    CASE WHEN psi >= 0.25 THEN 'alarm' WHEN psi >= 0.1 THEN 'watch' ELSE 'steady' END AS verdict -- verdict on the drift by the customary bounds 0.1 and 0.25
FROM shares s
GROUP BY s.name, s.day, s.feature
ORDER BY s.name, s.day, psi DESC, s.feature
