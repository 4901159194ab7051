-- The folder of one table of the log, and the properties that a writer of its files needs. Grain: one row. Owner: trueup.log.
SELECT
    schema.path || "table".path AS path, -- path of the folder within the data folder
    divisions.column_name AS divided_by, -- the column with a subfolder for each value; NULL where there are no subfolders
    columns.names, -- names of all columns of the table
    NOT (schema.path_is_relative AND "table".path_is_relative) OR coalesce(divisions.is_special, false) OR options.number > 0
        AS is_special, -- whether the files hold more than the columns of the table, divided by the values of one column
FROM __ducklake_metadata_lake.ducklake_table AS "table"
JOIN __ducklake_metadata_lake.ducklake_schema AS schema ON schema.schema_id = "table".schema_id AND schema.end_snapshot IS NULL
JOIN (
    SELECT table_id, list(column_name) AS names
    FROM __ducklake_metadata_lake.ducklake_column
    WHERE end_snapshot IS NULL AND parent_column IS NULL
    GROUP BY table_id
) AS columns ON columns.table_id = "table".table_id
LEFT JOIN (
    SELECT
        partition.table_id,
        any_value("column".column_name) AS column_name,
        count(*) > 1 OR bool_or(part.transform <> 'identity') AS is_special,
    FROM __ducklake_metadata_lake.ducklake_partition_info AS partition
    JOIN __ducklake_metadata_lake.ducklake_partition_column AS part ON part.partition_id = partition.partition_id
    JOIN __ducklake_metadata_lake.ducklake_column AS "column"
        ON "column".table_id = partition.table_id AND "column".column_id = part.column_id AND "column".end_snapshot IS NULL
    WHERE partition.end_snapshot IS NULL
    GROUP BY ALL
) AS divisions ON divisions.table_id = "table".table_id
CROSS JOIN (
    SELECT count(*) AS number
    FROM __ducklake_metadata_lake.ducklake_metadata
    WHERE key NOT IN ('version', 'created_by', 'data_path', 'sort_on_insert') AND NOT (key = 'encrypted' AND value = 'false')
) AS options
WHERE "table".end_snapshot IS NULL AND schema.schema_name = 'events' AND "table".table_name = $table
