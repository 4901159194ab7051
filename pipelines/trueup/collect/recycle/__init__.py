"""Recycling: maps rejected records again with the mapping of today; those that fit become events of a new position."""
