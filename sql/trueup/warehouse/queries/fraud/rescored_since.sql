-- The first instant since which a model has judged again what came before it was in force; NULL where it has not.
SELECT min(CAST(split_part(c.consumer, ' ', 3) AS BIGINT)) FROM lake.events.consumer c WHERE c.consumer LIKE 'rescore ' || $model_id || ' %'
