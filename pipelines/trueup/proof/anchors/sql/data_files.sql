-- Data files of all tables as of a snapshot. Grain: one file. Owner: proof.
SELECT
    CASE
        WHEN CAST(f.path_is_relative AS BOOLEAN) THEN s.path || t.path || f.path
        ELSE f.path
    END AS path,                -- path within the lake's data folder; the full path of a file elsewhere
    f.file_size_bytes
FROM __ducklake_metadata_lake.ducklake_data_file f
JOIN __ducklake_metadata_lake.ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
JOIN __ducklake_metadata_lake.ducklake_schema s
    ON s.schema_id = t.schema_id AND s.schema_name = 'events' AND s.end_snapshot IS NULL
WHERE
    f.data_file_id >= $first_file_id
    AND f.begin_snapshot <= $snapshot AND (f.end_snapshot IS NULL OR f.end_snapshot > $snapshot)
ORDER BY 1
