"""The injected clock, which no step asks the machine for, and what a clock must not do: run back, or leap ahead."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from trueup.errors import ClockError, ConfigError

Clock = Callable[[], datetime]
BEHIND = timedelta(minutes=5)
"""How far behind the newest commit a clock may be: as far as the clocks of two machines differ that no one looks after."""
LATE_START = timedelta(hours=6)
"""How far beyond the longest jump a clock may be: a daily run that starts late, or after a change of summer time, is no jump."""


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


def check_clock(now: datetime, newest: datetime | None, *, longest_jump: timedelta, where: str) -> None:
    """Raises `ClockError` where `now` is more than `BEHIND` before the newest commit, or too far after it.

    Too far is more than `longest_jump` and `LATE_START`. Before a first commit every clock is accepted: there is nothing to
    compare it with.
    """
    if newest is None:
        return
    said = f"the clock says {_second(now)}, the newest commit is of {_second(newest)}"
    if newest - now > BEHIND:
        raise ClockError(
            f"{said}: the clock is {describe_span(newest - now)} behind, or the commit was made under a wrong clock", where=where,
            todo="set the machine's clock; if it is right, `trueup clock` shows which tick to supersede",
        )  # fmt: skip
    if now - newest > longest_jump + LATE_START:
        raise ClockError(
            f"{said}: that is {describe_span(now - newest)} ahead", where=where,
            todo="set the machine's clock; if it is right, run again with --accept-clock, or raise [project] max_clock_jump",
        )  # fmt: skip


def describe_span(span: timedelta) -> str:
    """How long a span is, in its two largest units: `3 d 4 h`, `12 min`."""
    seconds = int(abs(span).total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
