-- The losses between systems, with the findings of each lost unit. Grain: one row per chain, hop and unit. Owner: warehouse.
SELECT l.from_stage, l.to_stage, l.change, l.loss_micros, l.finding_ids
FROM chain_losses l
WHERE l.loss_micros <> 0
ORDER BY ALL
