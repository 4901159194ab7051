-- Decisions of each person, by day.
SELECT CAST(decided_at AS DATE) AS day, decided_by, decision, count(*) AS decisions
FROM lake.events.decision
GROUP BY ALL
ORDER BY day DESC, decisions DESC
