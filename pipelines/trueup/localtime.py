"""Days and periods of the project's time zone, over columns of UTC microseconds."""

from __future__ import annotations

import polars as pl

from trueup.units import CYCLE, MONTH, WEEK
from trueup.zones import computed_zone

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT"})
_HOUR_US = 3_600_000_000
DAY_US = 24 * _HOUR_US
_CYCLE_DAYS = 32
"""A billing cycle is numbered as its month times this, plus its day of the month."""


def _to_moment(time_us: pl.Expr) -> pl.Expr:
    return time_us.cast(pl.Datetime("us", "UTC"))


def wall_us(time_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the wall-clock time of `zone` at each instant, in µs since 1970 on that clock."""
    if zone in UTC_NAMES:
        return time_us
    return _to_moment(time_us).dt.convert_time_zone(computed_zone(zone)).dt.replace_time_zone(None).cast(pl.Int64)


def local_day(time_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the calendar day of `zone` at each instant; NULL where the instant is NULL."""
    return wall_us(time_us, zone).cast(pl.Datetime("us")).dt.date()


def month_number(wall: pl.Expr) -> pl.Expr:
    """Return the number of the calendar month of a wall-clock time (µs): twelve times its year, and 1 for January."""
    shown = wall.cast(pl.Datetime("us"))
    return shown.dt.year().cast(pl.Int64) * 12 + shown.dt.month()


def week_number(wall: pl.Expr) -> pl.Expr:
    """Return the number of the week of a wall-clock time (µs); weeks begin on Monday, and 1970-01-01 was a Thursday."""
    return (wall // DAY_US + 3) // 7


def month_begin_us(number: pl.Expr) -> pl.Expr:
    """Return the wall-clock time (µs) at which a numbered month begins."""
    return pl.date((number - 1) // 12, (number - 1) % 12 + 1, 1).cast(pl.Datetime("us")).cast(pl.Int64)


def week_begin_us(number: pl.Expr) -> pl.Expr:
    """Return the wall-clock time (µs) at which a numbered week begins."""
    return (number * 7 - 3) * DAY_US


def cycle_number(day: pl.Expr, cycle_day: pl.Expr | int) -> pl.Expr:
    """Return the number of the billing cycle that contains a calendar day: the number of the month in which the cycle begins.

    `cycle_day` is 1 to 31. In a month without that day the cycle begins on the month's last day.
    """
    number = month_number(day.cast(pl.Datetime("us")).cast(pl.Int64))
    return number - (day < cycle_begin_day(number, cycle_day)).cast(pl.Int64)


def cycle_begin_day(number: pl.Expr, cycle_day: pl.Expr | int) -> pl.Expr:
    """Return the calendar day on which a numbered billing cycle begins."""
    first = pl.date((number - 1) // 12, (number - 1) % 12 + 1, 1)
    last = first.dt.month_end()
    wanted = first + pl.duration(days=(cycle_day if isinstance(cycle_day, pl.Expr) else pl.lit(cycle_day)) - 1)
    return pl.min_horizontal(wanted.cast(pl.Date), last)


def period_index(time_us: pl.Expr, period: int, zone: str, cycle_day: pl.Expr | None = None) -> pl.Expr:
    """Return the number of the period that contains an instant, on the wall clock of `zone`.

    A `period` is `MONTH`, `WEEK`, `CYCLE` or a number of microseconds; the latter are counted from 1970. The number of a `CYCLE`
    contains its `cycle_day` as well: cycles of different days are different periods, though they overlap.
    """
    if period == CYCLE:
        day_of_month = pl.lit(1, pl.Int64) if cycle_day is None else cycle_day
        return cycle_number(local_day(time_us, zone), day_of_month) * _CYCLE_DAYS + day_of_month
    wall = wall_us(time_us, zone)
    if period == MONTH:
        return month_number(wall)
    return week_number(wall) if period == WEEK else wall // period


def period_last_us(index: pl.Expr, period: int, zone: str) -> pl.Expr:
    """Return the last UTC microsecond of a period: one before the start of the next."""
    return utc_us(_find_period_begin_us(index + (_CYCLE_DAYS if period == CYCLE else 1), period), zone) - 1


def period_first_day(index: pl.Expr, period: int) -> pl.Expr:
    """Return the calendar day on which a period begins."""
    return _find_period_begin_us(index, period).cast(pl.Datetime("us")).dt.date()


def longest_period_us(period: pl.Expr) -> pl.Expr:
    """Return a length that no period of this kind exceeds, in microseconds of wall clock."""
    return pl.when(period.is_in([MONTH, CYCLE])).then(31 * DAY_US).when(period == WEEK).then(7 * DAY_US).otherwise(period)


def _find_period_begin_us(index: pl.Expr, period: int) -> pl.Expr:
    if period == MONTH:
        return month_begin_us(index)
    if period == CYCLE:
        # Numbers of other periods are outside of the calendar; their rows have another branch.
        number = index.clip(_CYCLE_DAYS * 12, _CYCLE_DAYS * 12 * 9_999)
        return cycle_begin_day(number // _CYCLE_DAYS, number % _CYCLE_DAYS).cast(pl.Datetime("us")).cast(pl.Int64)
    return week_begin_us(index) if period == WEEK else index * period


def utc_us(wall_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the instant of a wall-clock time: the later of two, and the end of the gap for a skipped time."""
    if zone in UTC_NAMES:
        return wall_us
    wall, zone = wall_us.cast(pl.Datetime("us")), computed_zone(zone)

    def at(shown: pl.Expr) -> pl.Expr:
        # A wall time that occurs twice begins the period at its later occurrence, so no finding is final too early.
        return shown.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.convert_time_zone("UTC").cast(pl.Int64)

    # A skipped wall time has no instant, so the period begins at the first wall time after it that exists. Most zones skip an
    # hour at most, Antarctica/Troll skips two, and Pacific/Apia skipped a day.
    return pl.coalesce(at(wall + pl.duration(microseconds=hours * _HOUR_US)) for hours in (0, 1, 2, 24))
