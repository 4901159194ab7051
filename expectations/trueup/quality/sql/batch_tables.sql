-- The temporary tables in which a validation keeps its records. Owner: quality.
SELECT table_name FROM duckdb_tables() WHERE database_name = 'temp'
