-- Every view and column, with its meaning.
SELECT v.view_name, c.column_name, c.data_type, c.comment
FROM duckdb_columns() c
JOIN duckdb_views() v ON v.view_name = c.table_name AND v.schema_name = c.schema_name
WHERE NOT v.internal AND v.schema_name = 'main'
ORDER BY v.view_name, c.column_index
