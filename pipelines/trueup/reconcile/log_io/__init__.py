"""Reads the log for the kernel, and commits its outcomes."""
