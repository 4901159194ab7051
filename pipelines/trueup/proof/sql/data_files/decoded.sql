-- Decodes every value of Parquet files of one table. Grain: one row. Owner: proof.
SELECT bit_xor(hash(COLUMNS(*))) FROM read_parquet($paths, union_by_name = true, hive_partitioning = false)
