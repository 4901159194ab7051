"""Parquet files: bounds what a file may cost before it is read, and reads it row group by row group."""
