-- Data files that the newest snapshot of the lake reads. Grain: one file. Owner: trueup.log.
SELECT
    CASE WHEN file.path_is_relative THEN schema.path || "table".path || file.path ELSE file.path END AS path, -- path of the file, within the data folder where the path is relative
    file.path_is_relative AS is_relative, -- whether the path begins at the data folder
    file.file_size_bytes AS size_bytes, -- size of the file when it was written
FROM __ducklake_metadata_lake.ducklake_data_file AS file
JOIN __ducklake_metadata_lake.ducklake_table AS "table" ON "table".table_id = file.table_id AND "table".end_snapshot IS NULL
JOIN __ducklake_metadata_lake.ducklake_schema AS schema ON schema.schema_id = "table".schema_id AND schema.end_snapshot IS NULL
WHERE file.end_snapshot IS NULL
ORDER BY ALL
