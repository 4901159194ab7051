-- What the footers of Parquet files say. Grain: one file. Owner: proof.
SELECT file_name, num_rows FROM parquet_file_metadata($paths)
