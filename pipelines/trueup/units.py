"""Units of quantities, money and periods: quantities and money are stored as whole millionths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MICROS = 1_000_000
"""Millionths of a unit: of a currency unit, a second, a byte or a message; also microseconds of a second."""
WEEK, MONTH, CYCLE = -1, -2, -3
"""Periods of the calendar: weeks that begin on Monday, months, and the billing cycles of accounts. Any other period is a number of
microseconds."""
CALENDAR_PERIODS = {"week": WEEK, "month": MONTH, "cycle": CYCLE}
"""Calendar periods by their name in settings, declarations and ids of findings."""
UnitName = Literal["ms", "s", "min", "h", "B", "kB", "KiB", "MB", "MiB", "GB", "GiB", "messages"]


@dataclass(frozen=True)
class Unit:
    """A unit of quantities: what it measures, and how many of the smallest unit of that it has."""

    measures: Literal["time", "data", "messages"]
    size: int


UNITS: dict[UnitName, Unit] = {
    "ms": Unit("time", 1), "s": Unit("time", 1_000), "min": Unit("time", 60_000), "h": Unit("time", 3_600_000),
    "B": Unit("data", 1), "kB": Unit("data", 1_000), "KiB": Unit("data", 1 << 10), "MB": Unit("data", 10**6),
    "MiB": Unit("data", 1 << 20), "GB": Unit("data", 10**9), "GiB": Unit("data", 1 << 30), "messages": Unit("messages", 1),
}  # fmt: skip
"""All units by name."""

_DAY_MS = 86_400_000
_GREATEST = {"time": 31 * _DAY_MS, "data": 10**13, "messages": 10**6}
"""The greatest plausible quantity of one record, in the smallest unit: 31 days, ten terabytes, a million messages."""
_GREATEST_OF_SERVICE = {("voice", "time"): _DAY_MS}
"""Bounds of single services: a call lasts a day at most, because exchanges end longer calls."""
SERVICES_WITH_BOUNDS = frozenset(service for service, _ in _GREATEST_OF_SERVICE)
"""Services whose quantities have bounds of their own."""


def greatest_plausible_micros(unit: UnitName, service: str | None) -> int:
    """Return the greatest plausible quantity of one record of a service, in millionths of a unit.

    >>> greatest_plausible_micros("s", "voice"), greatest_plausible_micros("GB", None)
    (86400000000, 10000000000)
    """
    measured = UNITS[unit]
    greatest = _GREATEST_OF_SERVICE.get((service or "", measured.measures), _GREATEST[measured.measures])
    return greatest * MICROS // measured.size
