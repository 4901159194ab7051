"""Proof that the log and its derived results are unchanged: checks recompute the values that they verify."""
