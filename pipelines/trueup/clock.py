"""The injected clock: steps read the time from it, never from the machine. It must neither run back nor jump far ahead."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from trueup.errors import ClockError, ConfigError

Clock = Callable[[], datetime]
MAX_CLOCK_LAG = timedelta(minutes=5)
"""Greatest time by which the clock may be behind the newest commit, because two machines may have no time synchronisation."""
LATE_START_ALLOWANCE = timedelta(hours=6)
"""Added to the longest jump, for a daily run that starts late or after a change of summer time."""


def system_clock() -> datetime:
    """Return the time now in UTC; `TRUEUP_NOW` (ISO 8601 with an offset) replaces it, so that a run can be repeated."""
    text = os.environ.get("TRUEUP_NOW")
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"TRUEUP_NOW is {text!r}, not an ISO 8601 time", todo="write it like 2024-05-01T12:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ConfigError(f"TRUEUP_NOW is {text!r}, without an offset", todo="write it like 2024-05-01T12:00:00+00:00")
    return moment.astimezone(UTC)


def check_clock(now: datetime, newest: datetime | None, *, longest_jump: timedelta, where: str) -> None:
    """Raise `ClockError` where `now` is more than `MAX_CLOCK_LAG` before the newest commit, or too far after it.

    Too far is more than `longest_jump` plus `LATE_START_ALLOWANCE`. Before the first commit every clock is accepted: there is
    no time to compare it with.
    """
    if newest is None:
        return
    times = f"the clock shows {format_second(now)}, the newest commit is of {format_second(newest)}"
    if newest - now > MAX_CLOCK_LAG:
        raise ClockError(
            f"{times}: the clock is {describe_span(newest - now)} behind, or the commit was made under a wrong clock", where=where,
            todo="set the machine's clock; if it is right, `trueup clock` shows which tick to supersede",
        )  # fmt: skip
    if now - newest > longest_jump + LATE_START_ALLOWANCE:
        raise ClockError(
            f"{times}: the clock is {describe_span(now - newest)} ahead", where=where,
            todo="set the machine's clock; if it is right, run again with --accept-clock, or raise [project] max_clock_jump",
        )  # fmt: skip


def describe_span(span: timedelta) -> str:
    """Return a span in its two largest units: `3 d 4 h`, `12 min`."""
    seconds = int(abs(span).total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def format_second(moment: datetime) -> str:
    """Return a time in UTC to the second: `2024-05-01 12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
