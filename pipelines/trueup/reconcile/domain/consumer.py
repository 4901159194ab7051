"""The name under which the log keeps the position of reconciliation; read by commands that need no frames."""

from __future__ import annotations

CONSUMER = "reconcile"
"""Consumer of the log whose results are findings and sums."""
