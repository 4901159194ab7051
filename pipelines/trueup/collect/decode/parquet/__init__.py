"""Parquet files: checks that a file needs bounded memory before it is read, and reads it one row group at a time."""
