"""Parquet files: bounds the memory that a file may take before it is read, and reads it row group by row group."""
