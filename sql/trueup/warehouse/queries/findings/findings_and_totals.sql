-- The findings with the largest impact, and the number and money of all matching findings. A NULL parameter does not filter.
-- Grain: one row with two lists, so that the findings are computed once for both.
-- Totals are by currency. Open and confirmed findings are counted as in the leakage views, and provisional findings separately.
-- Findings of any other status count in closed_findings only.
WITH matching AS MATERIALIZED (
    SELECT f.*
    FROM main.findings f
    WHERE ($kind IS NULL OR f.kind = $kind)
        AND ($service IS NULL OR f.service = $service)
        AND ($status IS NULL OR f.status = $status)
        AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE))
        AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
),
largest AS (
    FROM matching m
    ORDER BY abs(m.impact_micros) DESC, m.day, m.finding_id
    LIMIT $most
),
totals AS (
    SELECT
        m.currency,
        count(*) FILTER (WHERE m.status IN ('open', 'confirmed') AND NOT m.provisional) AS findings,
        count(*) FILTER (WHERE m.status IN ('open', 'confirmed') AND m.provisional) AS provisional_findings,
        count(*) FILTER (WHERE m.status NOT IN ('open', 'confirmed')) AS closed_findings,
        coalesce(sum(m.impact) FILTER (WHERE m.status IN ('open', 'confirmed') AND NOT m.provisional), 0) AS impact,
        coalesce(sum(m.impact) FILTER (WHERE m.status IN ('open', 'confirmed') AND m.provisional), 0) AS provisional_impact
    FROM matching m
    GROUP BY m.currency
)
SELECT
    coalesce((SELECT list(l ORDER BY abs(l.impact_micros) DESC, l.day, l.finding_id) FROM largest l), []) AS findings,
    coalesce((SELECT list(t ORDER BY t.currency) FROM totals t), []) AS totals
