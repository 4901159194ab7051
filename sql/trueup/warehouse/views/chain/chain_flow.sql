-- The money that flows through each chain, as the links of a Sankey diagram.
-- Grain: one row per chain, link and currency. Owner: warehouse.
-- The money of a stage flows to the next stage or to the losses of the hop. Gains flow from a node of their own.
WITH sums AS (
    SELECT
        h.chain, h.hop_no, h.from_stage, h.to_stage, h.currency,
        sum(h.units) FILTER (h.is_in AND h.is_out) AS units_kept,
        sum(least(h.worth_micros, h.next_worth_micros)) AS kept_micros,
        sum(h.units) FILTER (h.loss_micros > 0) AS units_lost,
        sum(greatest(h.loss_micros, 0)) AS lost_micros,
        sum(h.units) FILTER (h.loss_micros < 0) AS units_gained,
        sum(greatest(-h.loss_micros, 0)) AS gained_micros
    FROM steps.chain_hop h
    GROUP BY h.chain, h.hop_no, h.from_stage, h.to_stage, h.currency
),
links AS (
    SELECT s.chain, s.hop_no, s.currency, s.from_stage AS source, s.to_stage AS target, s.units_kept AS units, s.kept_micros AS micros FROM sums s
    UNION ALL
    SELECT s.chain, s.hop_no, s.currency, s.from_stage, 'lost: ' || s.from_stage || ' to ' || s.to_stage, s.units_lost, s.lost_micros FROM sums s
    UNION ALL
    SELECT s.chain, s.hop_no, s.currency, 'gained: ' || s.from_stage || ' to ' || s.to_stage, s.to_stage, s.units_gained, s.gained_micros FROM sums s
)
SELECT
    k.chain,                                      -- the chain's name in trueup.toml
    k.hop_no,                                     -- number of the hop, from 1: the hop out of the usage
    k.source,                                     -- the node from which the money flows
    k.target,                                     -- the node to which the money flows
    k.currency,                                   -- currency of the amounts
    CAST(coalesce(k.units, 0) AS BIGINT) AS units, -- number of sessions (or sums of a period)
    steps.micros_as_money(k.micros) AS worth,     -- money of the link: its width in the diagram
    CAST(k.micros AS DECIMAL(38, 0)) AS worth_micros -- the same amount in millionths
FROM links k
WHERE k.micros <> 0 OR k.units > 0
ORDER BY k.chain, k.currency, k.hop_no, k.source, k.target
