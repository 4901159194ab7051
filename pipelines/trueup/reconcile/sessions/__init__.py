"""Records to sessions and charge groups: which content of a record counts, and which records belong together."""
