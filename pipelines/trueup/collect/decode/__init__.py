"""Bytes to records: lines, encodings and formats."""
