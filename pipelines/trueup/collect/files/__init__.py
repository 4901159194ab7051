"""Delivered files: which ones a pattern matches, and their bytes unpacked."""
