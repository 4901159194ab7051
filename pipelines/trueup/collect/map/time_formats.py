"""Names of time formats; checks of a project read them without the frames that conversion needs."""

from __future__ import annotations

EPOCH_POWER = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}
"""Power of ten that makes a number of each epoch format microseconds."""
NAMED_FORMATS = frozenset({"iso", *EPOCH_POWER})
"""Time formats that have a name; any other is a strptime format."""
