"""Proof that the log, and what is derived from it, is unchanged: checks that recompute what they verify."""
