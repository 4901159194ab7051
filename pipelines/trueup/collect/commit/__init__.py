"""Commits one part of a source unit with its control row: hash chain and checks across rows."""
