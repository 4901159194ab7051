"""Completeness: what should have come and did not, as findings with bounds of records and money."""
