-- The peer of the view chain_hops: sessions that each hop lost, by an outer join of the four tables over the key.
SELECT
    count(*) FILTER (m.session_key IS NULL AND r.session_key IS NULL AND c.session_key IS NULL) AS lost_before_mediation,
    count(*) FILTER (m.session_key IS NOT NULL AND r.session_key IS NULL AND c.session_key IS NULL) AS lost_before_rating,
    count(*) FILTER (r.session_key IS NOT NULL AND c.session_key IS NULL) AS lost_before_invoice
FROM lake.events.usage u
FULL JOIN (SELECT * FROM lake.events.stage WHERE stage = 'mediation') m ON m.subscriber = u.subscriber AND m.session_key = u.session_key
FULL JOIN (SELECT * FROM lake.events.stage WHERE stage = 'rating') r ON r.subscriber = u.subscriber AND r.session_key = u.session_key
FULL JOIN lake.events.charge c ON c.subscriber = u.subscriber AND c.session_key = u.session_key
