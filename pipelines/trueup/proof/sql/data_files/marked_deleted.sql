-- Number of rows that the catalog marks as deleted. The log is append-only and has none. Grain: one table. Owner: proof.
WITH marked AS (
    SELECT d.table_id, d.delete_count AS rows
    FROM __ducklake_metadata_lake.ducklake_delete_file AS d
    WHERE d.end_snapshot IS NULL
    UNION ALL
    -- A file of which all rows were deleted ends with the snapshot of the deletion. A merged file is removed from the list instead.
    SELECT f.table_id, f.record_count
    FROM __ducklake_metadata_lake.ducklake_data_file AS f
    WHERE f.end_snapshot IS NOT NULL
)
SELECT t.table_name, sum(m.rows)::BIGINT AS rows
FROM marked AS m
JOIN __ducklake_metadata_lake.ducklake_table AS t ON t.table_id = m.table_id AND t.end_snapshot IS NULL
GROUP BY t.table_name
ORDER BY t.table_name
