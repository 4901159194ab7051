"""Recycling: maps rejected records again by the present mapping; records that fit become events at a new position."""
