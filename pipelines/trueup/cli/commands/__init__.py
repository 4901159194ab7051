"""The commands, one file for each or for a pair that shares its subject."""
