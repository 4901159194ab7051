-- The impacts of the kernel's ledger and of the findings are equal.
-- A row: a service, day and currency in which the impacts differ.
WITH entries AS (
    SELECT coalesce(l.service, '') AS service, l.day, l.currency, l.impact_micros AS ledger_micros, 0 AS findings_micros
    FROM lake.events.ledger l
    WHERE l.position <= (SELECT r.position FROM steps.reconciled r)
    UNION ALL
    SELECT f.service, f.day, f.currency, 0, f.impact_micros
    FROM steps.finding_standing f
    WHERE f.impact_micros <> 0
)
SELECT e.service, e.day, e.currency, sum(e.ledger_micros) AS ledger_micros, sum(e.findings_micros) AS findings_micros
FROM entries e
GROUP BY e.service, e.day, e.currency
HAVING sum(e.ledger_micros) <> sum(e.findings_micros)
