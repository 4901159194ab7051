"""The warehouse: DuckDB views over the lake, one `.sql` file each, and the audits of the lake's promises."""
