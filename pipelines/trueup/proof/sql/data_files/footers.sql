-- Number of rows in the footers of Parquet files. Grain: one file. Owner: proof.
SELECT file_name, num_rows FROM parquet_file_metadata($paths)
