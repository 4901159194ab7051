"""Evidence of a case for people without access to the lake: one page and one PDF with the same content."""
