-- The units that each hop of a chain receives, passes on and loses, by day.
-- Grain: one row per chain, hop, service, day and currency. Owner: warehouse.
-- The losses of all hops of a chain add up to the impacts of the open findings of its units.
SELECT
    h.chain,                                      -- the chain's name in trueup.toml
    h.hop_no,                                     -- number of the hop, from 1: the hop out of the usage
    h.from_stage,                                 -- the stage before the hop
    h.to_stage,                                   -- the stage after the hop
    h.service,                                    -- service of the unit; '' where no stage names one
    h.day,                                        -- day at the first stage, in the project's time zone; of a period, its first day
    h.currency,                                   -- currency of the amounts
    CAST(coalesce(sum(h.units) FILTER (h.is_in), 0) AS BIGINT) AS units_in, -- number of sessions (or sums of a period) that reached the stage before the hop
    CAST(coalesce(sum(h.units) FILTER (h.is_out), 0) AS BIGINT) AS units_out, -- number of units that reached the stage after the hop
    count(*) FILTER (h.change = 'lost') AS units_lost, -- number of units that no later stage has
    count(*) FILTER (h.change = 'late') AS units_late, -- number of units that no later stage has yet, because its feed is not complete
    count(*) FILTER (h.change = 'open') AS units_open, -- number of units that no later stage has and no finding claims: pending, or free of charge
    count(*) FILTER (h.change = 'added') AS units_added, -- number of units that no earlier stage has
    count(*) FILTER (h.change = 'changed') AS units_changed, -- number of units that passed with another value
    steps.micros_as_money(sum(h.worth_micros)) AS worth_in, -- value of the units before the hop
    steps.micros_as_money(sum(h.next_worth_micros)) AS worth_out, -- value of the units after the hop
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change = 'lost'), 0)) AS lost, -- value of units_lost
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change = 'late'), 0)) AS late, -- value of units_late
    steps.micros_as_money(coalesce(sum(h.loss_micros) FILTER (h.change NOT IN ('lost', 'late')), 0)) AS changed, -- value that all other units lost; negative: gained
    steps.micros_as_money(sum(h.loss_micros)) AS loss, -- worth_in - worth_out = lost + late + changed
    CAST(sum(h.loss_micros) AS DECIMAL(38, 0)) AS loss_micros -- the same amount in millionths
FROM steps.chain_hop h
WHERE h.is_in OR h.is_out OR h.loss_micros <> 0
GROUP BY h.chain, h.hop_no, h.from_stage, h.to_stage, h.service, h.day, h.currency
ORDER BY h.chain, h.day, h.service, h.currency, h.hop_no
