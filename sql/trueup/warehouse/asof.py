"""As of when a question is asked: a position, or a moment that stands for one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from trueup.errors import QueryError
from trueup.log.lake import Lake


@dataclass(frozen=True)
class AsOf:
    """A point of the log.

    `position` counts, and the `snapshot_id` that brought it. Decisions have no position: those made in snapshots before
    `next_snapshot` count (all where it is None), and of those only what was decided by `moment` where it is told.
    """

    position: int
    snapshot_id: int
    next_snapshot: int | None = None
    moment: datetime | None = None


def resolve(lake: Lake, told: str) -> AsOf:
    """What `told` means: a position, an ISO 8601 time, or a day (its end); times without offset are the project's.

    Raises `QueryError` for a text that is none of these, or a position the log does not have.
    """
    zone = ZoneInfo(lake.project.config.project.timezone)
    if re.fullmatch(r"\d+", told.strip()):
        return _at(lake, int(told), None)
    moment = moment_of(told, zone)
    return _at(lake, lake.position_at(moment), moment)


def moment_of(told: str, zone: ZoneInfo) -> datetime:
    """The UTC moment of an ISO 8601 time or day (its last microsecond), read in `zone` where it has no offset."""
    try:
        if re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", told):
            return end_of_day(date.fromisoformat(told.strip()), zone) - timedelta(microseconds=1)
        moment = datetime.fromisoformat(told.strip())
    except (ValueError, OverflowError):
        raise QueryError(f"{told!r} is no position, time or day", todo="write 42, 2024-03-03 or 2024-03-03T12:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The UTC moment at which a day of `zone` is over: the first of the next one. Raises `OverflowError` for the last day."""
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)


def _at(lake: Lake, position: int, moment: datetime | None) -> AsOf:
    newest = lake.last_position()
    if position > newest:
        raise QueryError(f"there is no position {position}; the newest is {newest}", todo="ask as of an earlier one")
    following = None if position == newest or moment is not None else lake.snapshot_of(position + 1)
    return AsOf(position, lake.snapshot_of(position), following, moment)
