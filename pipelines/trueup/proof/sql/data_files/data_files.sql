-- Data files of the newest snapshot, as the catalog lists them. Grain: one file. Owner: proof.
SELECT t.table_name, f.data_file_id, f.path, f.path_is_relative, t.path AS table_path, s.path AS schema_path,
    f.record_count, f.file_size_bytes
FROM __ducklake_metadata_lake.ducklake_data_file AS f
JOIN __ducklake_metadata_lake.ducklake_table AS t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
JOIN __ducklake_metadata_lake.ducklake_schema AS s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL
WHERE f.end_snapshot IS NULL AND s.schema_name = 'events'
ORDER BY t.table_name, f.data_file_id
