-- The version of the catalog, and whether it holds rows of tables itself. Grain: one row. Owner: trueup.log.
SELECT
    (SELECT value FROM __ducklake_metadata_lake.ducklake_metadata WHERE key = 'version' AND scope IS NULL) AS version, -- of DuckLake's tables
    (SELECT count(*) FROM __ducklake_metadata_lake.ducklake_inlined_data_tables) AS inlined_tables -- tables with rows in the catalog
