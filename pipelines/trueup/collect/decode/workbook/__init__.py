"""Workbooks (xlsx): bounds the memory that a file may take, finds its sheet, and reads the sheet row by row as exact texts."""
