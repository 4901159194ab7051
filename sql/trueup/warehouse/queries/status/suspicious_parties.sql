-- The parties to review first: of each, the open case with the most probable fraud, with its first reason.
-- Grain: one row per party. Reads views or the tables of a published file.
SELECT
    c.party,                                      -- who is suspected
    max(c.day) AS day,                            -- newest UTC day with an open case
    CAST(sum(c.transactions) AS BIGINT) AS transactions, -- suspicious transactions of all its open cases
    max(c.probability) AS probability,            -- of the most suspicious one; NULL where only rules alert
    arg_max(c.sentences, coalesce(c.probability, 0)) AS sentences, -- its reasons: a JSON array
    arg_max(c.rules, coalesce(c.probability, 0)) AS rules -- the rules that alert; NULL where none does
FROM main.cases c
WHERE c.type = 'fraud' AND c.status = 'open'
GROUP BY c.party
ORDER BY max(c.probability) DESC NULLS LAST, sum(c.transactions) DESC, c.party
