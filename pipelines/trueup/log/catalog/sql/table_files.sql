-- Data files of one table of the log with rows of snapshots in ($low, $high]. Grain: one file. Owner: trueup.log.
SELECT
    CASE WHEN file.path_is_relative THEN schema.path || "table".path || file.path ELSE file.path END AS path, -- path of the file, within the data folder where the path is relative
    file.path_is_relative AS is_relative, -- whether the path begins at the data folder
    file.record_count AS records,
    file.begin_snapshot AS first_snapshot, -- the commit of the first rows of the file
    file.partial_max IS NOT NULL AS is_merged, -- whether the rows are of several commits; the file then has a column with their snapshots
    file.file_format <> 'parquet' OR file.encryption_key IS NOT NULL OR renamed.mapping_id IS NOT NULL OR deleted.data_file_id IS NOT NULL
        AS is_special, -- whether the rows cannot be read from the Parquet file alone by the names of the columns
FROM __ducklake_metadata_lake.ducklake_data_file AS file
JOIN __ducklake_metadata_lake.ducklake_table AS "table" ON "table".table_id = file.table_id AND "table".end_snapshot IS NULL
JOIN __ducklake_metadata_lake.ducklake_schema AS schema ON schema.schema_id = "table".schema_id AND schema.end_snapshot IS NULL
LEFT JOIN (
    SELECT DISTINCT names.mapping_id
    FROM __ducklake_metadata_lake.ducklake_name_mapping AS names
    JOIN __ducklake_metadata_lake.ducklake_column_mapping AS mapping ON mapping.mapping_id = names.mapping_id
    LEFT JOIN __ducklake_metadata_lake.ducklake_column AS "column"
        ON "column".table_id = mapping.table_id AND "column".column_id = names.target_field_id AND "column".end_snapshot IS NULL
    WHERE "column".column_name IS DISTINCT FROM names.source_name
) AS renamed ON renamed.mapping_id = file.mapping_id
LEFT JOIN (SELECT DISTINCT data_file_id FROM __ducklake_metadata_lake.ducklake_delete_file) AS deleted ON deleted.data_file_id = file.data_file_id
WHERE file.end_snapshot IS NULL AND schema.schema_name = 'events' AND "table".table_name = $table
    AND file.begin_snapshot <= $high AND coalesce(file.partial_max, file.begin_snapshot) > $low
ORDER BY first_snapshot, path
