"""Days and periods of the project's time zone, over columns of UTC microseconds."""

from __future__ import annotations

import polars as pl

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT"})
_HOUR_US = 3_600_000_000


def _moment(time_us: pl.Expr) -> pl.Expr:
    return time_us.cast(pl.Datetime("us", "UTC"))


def wall_us(time_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the wall-clock time of `zone` at each instant, in µs since 1970 on that clock."""
    if zone in UTC_NAMES:
        return time_us
    return _moment(time_us).dt.convert_time_zone(zone).dt.replace_time_zone(None).cast(pl.Int64)


def local_day(time_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the calendar day of `zone` at each instant; NULL where the instant is NULL."""
    return wall_us(time_us, zone).cast(pl.Datetime("us")).dt.date()


def period_index(time_us: pl.Expr, period_us: int | pl.Expr, zone: str) -> pl.Expr:
    """Return the number of the period that contains an instant, counted on the wall clock of `zone` from 1970."""
    return wall_us(time_us, zone) // period_us


def period_last_us(index: pl.Expr, period_us: int | pl.Expr, zone: str) -> pl.Expr:
    """Return the last UTC microsecond of a period: one before the start of the next."""
    return utc_us((index + 1) * period_us, zone) - 1


def period_first_day(index: pl.Expr, period_us: int | pl.Expr) -> pl.Expr:
    """Return the calendar day on which a period begins."""
    return (index * period_us).cast(pl.Datetime("us")).dt.date()


def utc_us(wall_us: pl.Expr, zone: str) -> pl.Expr:
    """Return the instant of a wall-clock time: the later of two, and the end of the gap for a skipped time."""
    if zone in UTC_NAMES:
        return wall_us
    wall = wall_us.cast(pl.Datetime("us"))

    def at(shown: pl.Expr) -> pl.Expr:
        # A wall time that occurs twice begins the period at its later occurrence, so no finding is final too early.
        return shown.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.convert_time_zone("UTC").cast(pl.Int64)

    # A wall time that is skipped begins the period some hours of wall clock later, which is the same instant or after it: most
    # zones skip an hour at most, Antarctica/Troll skips two, Pacific/Apia skipped a day.
    return pl.coalesce(at(wall + pl.duration(microseconds=hours * _HOUR_US)) for hours in (0, 1, 2, 24))
