-- The earliest instant from which a model has rescored records of before its promotion; NULL where it has not.
SELECT min(CAST(split_part(c.consumer, ' ', 3) AS BIGINT)) FROM lake.events.consumer c WHERE c.consumer LIKE 'rescore ' || $model_id || ' %'
