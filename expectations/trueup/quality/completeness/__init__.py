"""Find records that should have arrived and did not, with bounds of records and money."""
