"""Workbooks (xlsx): bounds what a file may cost, finds its sheet, and reads that row by row as exact texts."""
