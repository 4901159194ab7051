"""Inject leaks into a scratch copy of a log, and record the truth about them."""
