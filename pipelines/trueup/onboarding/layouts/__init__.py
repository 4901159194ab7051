"""Layouts: how the records of a sample lie in it, by format."""
