"""The consumer name of reconciliation in the log, in a module of its own for commands that need no data frames."""

from __future__ import annotations

CONSUMER = "reconcile"
"""Consumer of the log whose results are findings and sums."""
