-- Rows that the catalog marks as deleted, table by table: the log is append-only and has none. Grain: one table. Owner: proof.
SELECT t.table_name, sum(d.delete_count)::BIGINT AS rows
FROM __ducklake_metadata_lake.ducklake_delete_file AS d
JOIN __ducklake_metadata_lake.ducklake_table AS t ON t.table_id = d.table_id AND t.end_snapshot IS NULL
WHERE d.end_snapshot IS NULL
GROUP BY t.table_name
ORDER BY t.table_name
