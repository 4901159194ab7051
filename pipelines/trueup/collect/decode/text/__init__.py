"""Text files: finds the records of a file as physical lines, and cuts each into its fields."""
