"""Rating: what should have been charged."""
