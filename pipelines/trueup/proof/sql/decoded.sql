-- Every value of some Parquet files of one table, decoded. One row. Owner: proof.
SELECT bit_xor(hash(COLUMNS(*))) FROM read_parquet($paths, union_by_name = true, hive_partitioning = false)
