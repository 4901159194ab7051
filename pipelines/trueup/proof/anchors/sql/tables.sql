-- Tables of the log in the present catalog. Grain: one column of one table. Owner: proof.
SELECT
    t.table_name,
    c.column_name,
    c.data_type,
    t.begin_snapshot,           -- the snapshot that created the table
    (
        SELECT count(*) FROM __ducklake_metadata_lake.ducklake_delete_file d
        WHERE d.table_id = t.table_id AND d.end_snapshot IS NULL
    ) AS deletions              -- number of files that delete rows; an append-only log has none
FROM __ducklake_metadata_lake.ducklake_table t
JOIN __ducklake_metadata_lake.ducklake_schema s ON s.schema_id = t.schema_id AND s.schema_name = 'events'
JOIN duckdb_columns() c ON c.database_name = 'lake' AND c.schema_name = 'events' AND c.table_name = t.table_name
WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
ORDER BY t.table_name, c.column_index
