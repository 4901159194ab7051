"""The warehouse: DuckDB views over the lake, one `.sql` file each, with the audits that watch over them."""
