"""Expressions of a mapping: exact numbers, values, and the parts of an expression."""
