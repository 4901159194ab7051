-- What each hop of a chain receives, passes on and loses, by day.
-- Grain: one row per chain, hop, service, day and currency. Owner: warehouse.
-- The losses of all hops of a chain add up to the impacts of the open findings of its units.
SELECT
    h.chain,                                      -- the chain's name in trueup.toml
    h.hop_no,                                     -- from 1: the hop out of the usage
    h.from_stage,                                 -- the stage before the hop
    h.to_stage,                                   -- the stage after it
    h.service,                                    -- '' where no stage names it
    h.day,                                        -- of the first stage, in the project's time zone; of a period its first day
    h.currency,                                   -- of the amounts
    CAST(coalesce(sum(h.units) FILTER (h.is_in), 0) AS BIGINT) AS units_in, -- sessions (or sums of a period) that came to the stage before the hop
    CAST(coalesce(sum(h.units) FILTER (h.is_out), 0) AS BIGINT) AS units_out, -- those that came to the stage after it
    count(*) FILTER (h.change = 'lost') AS units_lost, -- those that no later stage has
    count(*) FILTER (h.change = 'late') AS units_late, -- those that no later stage has yet: its feed is not complete
    count(*) FILTER (h.change = 'open') AS units_open, -- those that no later stage has, and no finding claims: pending, or free of charge
    count(*) FILTER (h.change = 'added') AS units_added, -- those that no earlier stage has
    count(*) FILTER (h.change = 'changed') AS units_changed, -- those that passed with another worth
    steps.micros_as_money(sum(h.worth_micros)) AS worth_in, -- what they are worth before the hop
    steps.micros_as_money(sum(h.next_worth_micros)) AS worth_out, -- what they are worth after it
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change = 'lost'), 0)) AS lost, -- worth of units_lost
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change = 'late'), 0)) AS late, -- worth of units_late
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change NOT IN ('lost', 'late')), 0)) AS changed, -- worth that all others lost; negative: gained
    steps.micros_as_money(sum(h.loss_micros)) AS loss, -- worth_in - worth_out = lost + late + changed
    CAST(sum(h.loss_micros) AS DECIMAL(38, 0)) AS loss_micros -- the same in millionths
FROM steps.chain_hop h
WHERE h.is_in OR h.is_out OR h.loss_micros <> 0
GROUP BY h.chain, h.hop_no, h.from_stage, h.to_stage, h.service, h.day, h.currency
ORDER BY h.chain, h.day, h.service, h.currency, h.hop_no
