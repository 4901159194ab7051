"""JSON: finds records in lines, lists and documents. It finds members by punctuation, so a number keeps its original text."""
