"""JSON: finds records in lines, lists and documents, and their members by punctuation, so that a number keeps its text."""
