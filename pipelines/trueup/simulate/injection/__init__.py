"""Leaks with a ledger in a scratch copy of a log."""
