"""Draw when people use the network, by hour-of-week profiles per segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trueup.simulate.market.period import HOUR_US, Day

Floats = NDArray[np.float64]

SEGMENTS = ("consumer", "business", "iot", "wholesale", "probe")
CONSUMER, BUSINESS, IOT_DEVICE, WHOLESALE, PROBE = range(len(SEGMENTS))

_CONSUMER_HOURS = (2, 1, 1, 1, 1, 2, 5, 10, 14, 16, 17, 18, 20, 19, 18, 19, 21, 25, 28, 29, 26, 19, 11, 5)
_WEEKEND_HOURS = (5, 3, 2, 1, 1, 1, 2, 5, 9, 14, 18, 20, 21, 20, 20, 20, 21, 22, 24, 25, 23, 18, 13, 8)
_OFFICE_HOURS = (1, 1, 1, 1, 1, 2, 6, 18, 38, 46, 47, 45, 33, 39, 46, 45, 38, 24, 10, 6, 4, 3, 2, 1)
_TRUNK_HOURS = (8, 6, 5, 5, 5, 7, 11, 18, 26, 30, 31, 30, 28, 29, 31, 31, 30, 29, 27, 24, 21, 17, 13, 10)
_FLAT_HOURS = (1,) * 24

_WEEKDAY_FACTOR = {
    CONSUMER: (1.00, 0.99, 1.00, 1.03, 1.12, 1.05, 0.90),
    BUSINESS: (1.12, 1.15, 1.14, 1.12, 0.98, 0.22, 0.12),
    IOT_DEVICE: (1.0,) * 7,
    WHOLESALE: (1.05, 1.06, 1.05, 1.05, 1.06, 0.85, 0.75),
    PROBE: (1.0,) * 7,
}
_HOURS = {
    CONSUMER: (_CONSUMER_HOURS, _WEEKEND_HOURS),
    BUSINESS: (_OFFICE_HOURS, _OFFICE_HOURS),
    IOT_DEVICE: (_FLAT_HOURS, _FLAT_HOURS),
    WHOLESALE: (_TRUNK_HOURS, _TRUNK_HOURS),
    PROBE: (_FLAT_HOURS, _FLAT_HOURS),
}


def hour_of_week(segment: int) -> Floats:
    """Return the 168 weights of a segment, Monday 00:00 first; their mean is 1."""
    rows = []
    for weekday in range(7):
        hours = np.array(_HOURS[segment][weekday >= 5], dtype=np.float64)
        rows.append(hours / hours.sum() * _WEEKDAY_FACTOR[segment][weekday])
    week = np.concatenate(rows)
    normal: Floats = week / week.mean()
    return normal


def day_weights(segment: int, day: Day) -> Floats:
    """Return the weight of each elapsed hour of a local day; the second occurrence of a repeated hour has weight 0.

    Wall-clock time cannot distinguish the two occurrences, so no session begins in the second one.
    """
    weights = hour_of_week(segment)[day.weekday * 24 + day.local_hours]
    return np.where(day.hour_starts_us == day.repeated_us[0], 0.0, weights) if day.repeated_us[1] else weights


def day_factor(segment: int, day: Day) -> float:
    """Return the traffic of the day relative to the segment's mean day."""
    return float(day_weights(segment, day).sum() / 24)


def starts_us(rng: np.random.Generator, segment: int, day: Day, count: int) -> NDArray[np.int64]:
    """Draw `count` instants of the day by the segment's profile, UTC microseconds, uniform within an hour."""
    weights = day_weights(segment, day)
    edges = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    hours = np.interp(rng.random(count), edges, np.arange(len(edges), dtype=np.float64))
    return np.minimum(day.start_us + (hours * HOUR_US).astype(np.int64), day.end_us - 1)
