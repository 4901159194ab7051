"""Commits one part of a source unit with its control row, after checks across its rows, and extends the source's hash chain."""
