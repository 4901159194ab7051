-- Numbers linked with a party: peers of its suspicious transactions, and other suspected parties that share such a peer.
-- Grain: one row per pair of numbers. Owner: workbench.
WITH own AS (
    SELECT t.party, if(t.party = t.subscriber, t.peer, t.subscriber) AS other, count(*) AS transactions, max(t.probability) AS probability
    FROM suspicious_transactions t
    WHERE t.party = $party
    GROUP BY ALL
    HAVING other IS NOT NULL
    ORDER BY transactions DESC, other
    LIMIT 25
)
SELECT o.party AS a, o.other AS b, o.transactions, o.probability, 'own' AS link FROM own o
UNION ALL
(
    SELECT t.party, o.other, count(*), max(t.probability), 'shared'
    FROM own o
    JOIN suspicious_transactions t ON o.other IN (t.peer, t.subscriber) AND t.party NOT IN ($party, o.other)
    GROUP BY t.party, o.other
    ORDER BY count(*) DESC, t.party
    LIMIT 40
)
