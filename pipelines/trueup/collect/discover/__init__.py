"""Discovery of source units: the files of a source, their completeness, and what their sender declares."""
