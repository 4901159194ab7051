-- Drift of one model by day: of its output, and of the features with the greatest drift.
WITH worst AS (
    SELECT f.feature FROM fraud_drift f WHERE f.model_id = $name AND f.feature <> '(margin)'
    GROUP BY f.feature ORDER BY max(f.psi) DESC, f.feature LIMIT 4
)
SELECT d.day, d.feature, d.psi, d.verdict
FROM fraud_drift d
WHERE d.model_id = $name AND (d.feature = '(margin)' OR d.feature IN (SELECT w.feature FROM worst w))
ORDER BY d.day, d.feature
