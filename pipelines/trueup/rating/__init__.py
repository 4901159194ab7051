"""Rating: the price that should have been charged."""
