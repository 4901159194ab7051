"""Layouts: find the records of a sample, by format."""
