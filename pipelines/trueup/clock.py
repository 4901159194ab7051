"""The clock that is injected: no step asks the machine for the time."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from trueup.errors import ConfigError

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The time now in UTC; `TRUEUP_NOW` (ISO 8601 with an offset) stands in for it, so that a run can be repeated."""
    told = os.environ.get("TRUEUP_NOW")
    if told is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        raise ConfigError(f"TRUEUP_NOW is {told!r}, no ISO 8601 time", todo="write it like 2024-05-01T12:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ConfigError(f"TRUEUP_NOW is {told!r}, without an offset", todo="write it like 2024-05-01T12:00:00+00:00")
    return moment.astimezone(UTC)
