"""Workbooks (xlsx): checks that a file needs bounded memory, finds its sheet, and reads the sheet row by row as exact texts."""
