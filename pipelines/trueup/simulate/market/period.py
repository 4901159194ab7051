"""Map the operator's local days to UTC instants, through daylight-saving changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_us(moment: datetime) -> int:
    """Return the microseconds since 1970 UTC of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True)
class Day:
    """One local day, [start_us, end_us) in UTC. `hour_starts_us` and `local_hours` have one entry per elapsed hour.

    `repeated_us` is the second occurrence of a repeated hour, [from, to); (0, 0) on other days.
    """

    index: int
    date: date
    start_us: int
    end_us: int
    hour_starts_us: NDArray[np.int64]
    local_hours: NDArray[np.int64]
    repeated_us: tuple[int, int]

    @property
    def weekday(self) -> int:
        """Return the day of the week; 0 is Monday."""
        return self.date.weekday()


@dataclass(frozen=True)
class Period:
    """The main period of `days` local days from `first_day`, and `tail_days` of test traffic after it."""

    first_day: date
    days: int
    tail_days: int
    zone: ZoneInfo

    @property
    def last_day(self) -> date:
        """Return the last day of the main period."""
        return self.first_day + timedelta(days=self.days - 1)

    @property
    def start_us(self) -> int:
        """Return when the main period begins, in UTC microseconds."""
        return self.day(0).start_us

    @property
    def end_us(self) -> int:
        """Return when the main period ends, in UTC microseconds (exclusive)."""
        return self.day(self.days - 1).end_us

    def day(self, index: int) -> Day:
        """Return the local day `index`, counted from the first."""
        local = self.first_day + timedelta(days=index)
        start, end = (utc_us(datetime(d.year, d.month, d.day, tzinfo=self.zone)) for d in (local, local + timedelta(days=1)))
        hours = np.arange(start, end, HOUR_US, dtype=np.int64)
        shown = [moment(int(h)).astimezone(self.zone) for h in hours]
        repeated = next(((int(h), int(h) + HOUR_US) for h, s in zip(hours, shown, strict=True) if s.fold), (0, 0))
        return Day(index, local, start, end, hours, np.array([s.hour for s in shown], dtype=np.int64), repeated)
