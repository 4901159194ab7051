-- The parties to review first: of each, its open cases, and the one of them with the greatest expected loss.
-- Grain: one row per party. Reads views or the tables of a published file.
SELECT
    c.party,                                      -- who is suspected
    max(c.day) AS day,                            -- newest UTC day with an open case
    CAST(sum(c.transactions) AS BIGINT) AS transactions, -- suspicious transactions of all its open cases
    max(c.probability) AS probability,            -- of the most suspicious one; NULL where only rules alert
    arg_max(c.sentences, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS sentences, -- reasons of the case: a JSON array
    arg_max(c.rules, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS rules, -- the rules that alert; NULL where none does
    sum(c.exposure) AS exposure,                  -- money at risk in all its open cases; NULL without [[fraud.loss]]
    any_value(c.exposure_currency) AS currency,   -- of the money
    arg_max(c.summary, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS summary -- who, what, how much, against what, what to do
FROM main.cases c
WHERE c.type = 'fraud' AND c.status = 'open'
GROUP BY c.party
ORDER BY max(c.expected_loss_per_hour) DESC NULLS LAST, max(c.probability) DESC NULLS LAST, sum(c.transactions) DESC, c.party
