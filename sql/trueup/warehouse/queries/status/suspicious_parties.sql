-- The parties to review first, each with its open cases and the sentences of the case with the greatest expected loss.
-- Grain: one row per party. Reads views or the tables of a published file.
SELECT
    c.party,                                      -- the suspected party
    max(c.day) AS day,                            -- newest UTC day with an open case
    CAST(sum(c.transactions) AS BIGINT) AS transactions, -- number of suspicious transactions in all open cases of the party
    max(c.probability) AS probability,            -- probability of the most suspicious transaction; NULL where only rules alert
    arg_max_null(c.sentences, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS sentences, -- reasons of the case, as a JSON array of sentences
    arg_max_null(c.rules, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS rules, -- the alerting rules; NULL where none alerts
    sum(c.exposure) AS exposure,                  -- money at risk in all open cases of the party; NULL without [[fraud.loss]]
    any_value(c.exposure_currency) AS currency,   -- currency of the money
    arg_max_null(c.summary, (coalesce(c.expected_loss_per_hour, -1), coalesce(c.probability, 0))) AS summary -- the party, the suspected fraud, the money at risk, the main reason, and the action to take
FROM main.cases c
WHERE c.type = 'fraud' AND c.status = 'open'
GROUP BY c.party
ORDER BY max(c.expected_loss_per_hour) DESC NULLS LAST, max(c.probability) DESC NULLS LAST, sum(c.transactions) DESC, c.party
