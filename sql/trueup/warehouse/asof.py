"""As of: the earlier position or time for which a query is answered."""

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

    Records up to `position` count; `snapshot_id` is its commit. Decisions have no position: those made in snapshots before
    `next_snapshot` count (all where it is None). Where `moment` is given, only decisions made by then count.
    """

    position: int
    snapshot_id: int
    next_snapshot: int | None = None
    moment: datetime | None = None


def resolve(lake: Lake, text: str) -> AsOf:
    """Resolve a position, an ISO 8601 time, or a day (its end); a time without offset is in the project's time zone.

    Raises `QueryError` for any other text, and for a position that the log does not have.
    """
    zone = ZoneInfo(lake.project.config.project.timezone)
    if re.fullmatch(r"\d+", text.strip()):
        return _resolve_position(lake, int(text), None)
    moment = moment_of(text, zone)
    return _resolve_position(lake, lake.position_at(moment), moment)


def moment_of(text: str, zone: ZoneInfo) -> datetime:
    """Return the UTC moment of an ISO 8601 time or day (its last microsecond), read in `zone` where it has no offset."""
    try:
        if re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", text):
            return end_of_day(date.fromisoformat(text.strip()), zone) - timedelta(microseconds=1)
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except ValueError:
        raise QueryError(f"{text!r} is not a position, time or day", todo="write 42, 2024-03-03 or 2024-03-03T12:00:00") from None
    except OverflowError:
        raise QueryError(f"{text!r} is not between the years 1 and 9999 in UTC", todo="name a later or an earlier time") from None


def begin_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the UTC moment at which `day` begins in `zone`; for the first day of the calendar at the earliest that of UTC."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the UTC moment at which `day` ends in `zone`; raise `OverflowError` for the last day of the calendar."""
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)


def _resolve_position(lake: Lake, position: int, moment: datetime | None) -> AsOf:
    newest = lake.last_position()
    if position > newest:
        raise QueryError(f"there is no position {position}; the newest is {newest}", todo="name an earlier position")
    following = None if position == newest or moment is not None else lake.snapshot_of(position + 1)
    return AsOf(position, lake.snapshot_of(position), following, moment)
