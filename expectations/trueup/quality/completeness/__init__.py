"""Find records that should have arrived but did not, with bounds of their number and money."""
