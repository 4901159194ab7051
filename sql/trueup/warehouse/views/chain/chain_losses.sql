-- Each unit that a hop of a chain lost, added or changed.
-- Grain: one row per chain, hop and unit with a difference. Owner: warehouse.
SELECT
    h.chain,                                      -- the chain's name in trueup.toml
    h.hop_no,                                     -- number of the hop, from 1: the hop out of the usage
    h.from_stage,                                 -- the last stage before the difference
    h.to_stage,                                   -- the first stage after the difference
    h.change,                                     -- lost, late (the feed is not complete), open (no finding claims the unit), added or changed
    h.service,                                    -- service of the unit; '' where no stage names one
    h.subscriber,                                 -- subscriber at the first stage
    if(starts_with(h.unit, 's'), h.unit[2:], NULL) AS session_key, -- session key of the unit; NULL for records without one, and for periods
    h.day,                                        -- day at the first stage, in the project's time zone; of a period, its first day
    h.started_at,                                 -- time of the first record at the first stage, UTC
    h.currency,                                   -- currency of the amounts
    steps.micros_as_money(h.worth_micros) AS worth_in, -- value of the unit before the hop
    steps.micros_as_money(h.next_worth_micros) AS worth_out, -- value of the unit after the hop
    steps.micros_as_money(h.loss_micros) AS loss, -- worth_in - worth_out; negative: gained
    CAST(h.loss_micros AS DECIMAL(38, 0)) AS loss_micros, -- the same amount in millionths
    h.finding_ids                                 -- ids of the open findings; their impacts add up to the losses of all hops of the unit
FROM steps.chain_hop h
WHERE h.unit IS NOT NULL AND (h.change IN ('lost', 'late', 'open', 'added', 'changed') OR h.loss_micros <> 0)
ORDER BY h.chain, h.started_at, h.scope, h.unit, h.hop_no
