"""Names of time formats; project checks read them without importing the frames that conversion needs."""

from __future__ import annotations

EPOCH_POWER = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}
"""Power of ten that converts a number in each epoch format to microseconds."""
NAMED_FORMATS = frozenset({"iso", *EPOCH_POWER})
"""Time formats that have a name; any other format is a strptime format."""
