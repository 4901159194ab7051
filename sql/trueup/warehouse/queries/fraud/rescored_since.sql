-- The earliest instant from which a model has scored again records from before its promotion; NULL where there are none.
SELECT min(CAST(split_part(c.consumer, ' ', 3) AS BIGINT)) FROM lake.events.consumer c WHERE c.consumer LIKE 'rescore ' || $model_id || ' %'
