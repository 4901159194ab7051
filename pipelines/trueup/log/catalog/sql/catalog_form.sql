-- The version of the catalog, and the number of tables with rows in the catalog. Grain: one row. Owner: trueup.log.
SELECT
    (SELECT value FROM __ducklake_metadata_lake.ducklake_metadata WHERE key = 'version' AND scope IS NULL) AS version, -- version of the tables of DuckLake
    (SELECT count(*) FROM __ducklake_metadata_lake.ducklake_inlined_data_tables) AS inlined_tables -- number of tables with rows in the catalog itself
