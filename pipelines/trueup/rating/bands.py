"""Compute, in UTC, when rates are in force: within their validity and their time band."""

from __future__ import annotations

from typing import Any

import polars as pl

from trueup.localtime import DAY_US, wall_us
from trueup.rating.book import EVER_US, NEVER_US, Book

_MINUTE_US = 60_000_000
_MINUTES = DAY_US // _MINUTE_US
TIMELINE: dict[str, pl.DataType] = {"rate": pl.Int64(), "at_us": pl.Int64(), "holds": pl.Boolean(), "next_us": pl.Int64()}
"""A rate holds, or does not hold, from `at_us` until `next_us` (exclusive)."""


def timelines(book: Book, rates: pl.DataFrame, days: pl.Series) -> pl.DataFrame:
    """Return the `TIMELINE` of `rates` (rows of `book.priced`), exact on some `days` since 1970, sorted by `at_us`."""
    plain = rates.filter(~pl.col("banded")).select("rate", "from_us", "to_us")
    bound = rates.filter("banded")
    if not bound.is_empty():
        active = active_spans(book, bound["band"].unique().to_list(), days)
        met = bound.rename({"from_us": "begins_us", "to_us": "ends_us"}).join(active, on="band")
        cut = met.select(
            "rate", from_us=pl.max_horizontal("from_us", "begins_us"), to_us=pl.min_horizontal("to_us", "ends_us")
        ).filter(pl.col("from_us") < pl.col("to_us"))  # fmt: skip
        plain = pl.concat([plain, cut])
    return _build_timeline(plain, rates.select("rate"))


def _build_timeline(spans: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    """Turn spans (`rate`, `from_us`, `to_us`) into a timeline that shows at every instant which of `rates` hold."""
    edges = [
        rates.select("rate", at_us=pl.lit(EVER_US, pl.Int64), step=pl.lit(0)),
        spans.select("rate", at_us="from_us", step=pl.lit(1)),
        spans.filter(pl.col("to_us") < NEVER_US).select("rate", at_us="to_us", step=pl.lit(-1)),
    ]
    line = pl.concat(edges).group_by("rate", "at_us").agg(pl.col("step").sum()).sort("rate", "at_us")
    # Spans of one band may overlap: a rate holds while any of them does.
    line = line.with_columns(holds=pl.col("step").cum_sum().over("rate") > 0, next_us=pl.col("at_us").shift(-1).over("rate"))
    return line.with_columns(pl.col("next_us").fill_null(NEVER_US)).sort("at_us").select(*TIMELINE)


def active_spans(book: Book, bands: list[str], days: pl.Series) -> pl.DataFrame:
    """Return when each band is active (`band`, `from_us`, `to_us`) on some UTC days, which are counted from 1970.

    Each UTC minute is tested on the wall clock of the band's zone. So an hour that the clock shows twice counts twice, and a
    skipped hour does not count. Bands begin on whole minutes, and so do changes of the clock.
    """
    minute = pl.int_ranges(pl.col("day") * _MINUTES, (pl.col("day") + 1) * _MINUTES)
    minutes = pl.DataFrame({"day": days}).select(at_us=minute.explode() * _MINUTE_US)
    rows = book.bands.filter(pl.col("band").is_in(bands))
    found = [pl.DataFrame(schema={"band": pl.String, "from_us": pl.Int64, "to_us": pl.Int64})]
    for (zone,), in_zone in rows.group_by("timezone", maintain_order=True):
        wall = wall_us(pl.col("at_us") + book.shift_us, str(zone or "UTC"))
        local = minutes.select("at_us", wall=wall).with_columns(
            minute=(pl.col("wall") % DAY_US) // _MINUTE_US, day=pl.col("wall") // DAY_US
        )
        found += [_list_band_spans(local, row, book.holidays) for row in in_zone.iter_rows(named=True)]
    return pl.concat(found)


def _list_band_spans(local: pl.DataFrame, band: dict[str, Any], holidays: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of one band row, over minutes with their wall-clock `minute` of the day and `day` number."""
    begins, ends = (minute_of(str(band[n] or "00:00")) for n in ("from_time", "to_time"))
    minute = pl.col("minute")
    over_midnight = (minute >= begins) | (minute < ends)
    within = pl.lit(True) if begins == ends else minute.is_between(begins, ends - 1) if begins < ends else over_midnight
    # After midnight a band belongs to the day on which it began.
    day = pl.col("day") if begins <= ends else pl.col("day") - (minute < ends).cast(pl.Int64)
    days, on_holidays = weekdays_of(str(band["weekdays"] or "1-7"))
    free = holidays.filter(pl.col("calendar").eq_missing(pl.lit(band["calendar"], pl.String)))["from_us"] // DAY_US
    is_holiday = day.is_in(free.implode())
    # 1970-01-01 was a Thursday.
    weekday = (day + 3) % 7 + 1
    usual = weekday.is_in(days)
    allowed = usual | is_holiday if on_holidays else usual & ~is_holiday if band["calendar"] is not None else usual
    valid = pl.col("at_us").is_between(band["from_us"], band["to_us"], closed="left")
    marked = local.select("at_us", active=within & allowed & valid).with_columns(
        run=((pl.col("active") != pl.col("active").shift(1)) | (pl.col("at_us").diff() > _MINUTE_US)).fill_null(True).cum_sum()
    )
    spans = marked.filter("active").group_by("run", maintain_order=True).agg(
        from_us=pl.col("at_us").min(), to_us=pl.col("at_us").max() + _MINUTE_US
    )  # fmt: skip
    return spans.select(pl.lit(str(band["band"])).alias("band"), "from_us", "to_us")


def minute_of(text: str) -> int:
    """Return the minute of the day of `HH:MM`; `24:00` is midnight. Raise `ValueError` for anything else."""
    hours, colon, minutes = text.partition(":")
    is_time = bool(colon) and hours.isdecimal() and len(minutes) == 2 and minutes.isdecimal()
    if not is_time or int(minutes) > 59 or int(hours) * 60 + int(minutes) > _MINUTES:
        raise ValueError(f"invalid time of day: {text!r}; write HH:MM")
    return (int(hours) * 60 + int(minutes)) % _MINUTES


def weekdays_of(text: str) -> tuple[list[int], bool]:
    """Return the weekdays of `1-5`, `1,3,7` or `6-7,hol` (1 is Monday), and whether public holidays count too.

    Raises `ValueError` for anything else.
    """
    days: set[int] = set()
    holidays = False
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if part.strip() == "hol":
            holidays = True
        elif first.isdigit() and (not dash or last.isdigit()) and 1 <= int(first) <= int(last or first) <= 7:
            days |= set(range(int(first), int(last or first) + 1))
        else:
            raise ValueError(f"invalid weekdays: {text!r}; write 1-5, 1,3,7 or 6-7,hol")
    return sorted(days), holidays
