"""Short forms of tariff rows and records for tests, and their prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl

from trueup.rating.book import TARIFF, Book
from trueup.rating.rate import CALL, RatingResult, rate

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = 1_000_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return an instant of UTC: `2025-03-30 01:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def micros(number: str | int) -> int:
    """Millionths of a number in decimal."""
    exact = Fraction(number) * 1_000_000
    assert exact.denominator == 1, number
    return int(exact)


def rated_at(price: str, *, per: int = 60, **more: Any) -> Row:
    """Return a rate of voice in EUR: `price` for `per` seconds."""
    defaults = {"service": "voice", "currency": "EUR", "unit": "s", "valid_from": LONG_AGO}
    return {"item": "rate", **defaults, "price_micros": micros(price), "price_per": per, **more}


def stepped(first_s: int, next_s: int) -> Row:
    """Return the columns of increments."""
    return {"first_increment_micros": micros(first_s), "next_increment_micros": micros(next_s)}


def band(name: str, **more: Any) -> Row:
    return {"item": "band", "band": name, "valid_from": LONG_AGO, **more}


def holiday(day: str, calendar: str | None = None) -> Row:
    return {"item": "holiday", "calendar": calendar, "valid_from": at(day)}


def free(name: str, units: int, *, services: str = "voice", **more: Any) -> Row:
    """Return an allowance of `units` whole units."""
    return {"item": "allowance", "name": name, "services": services, "units_micros": micros(units), "valid_from": LONG_AGO, **more}


def exchange(price: str, *, to: str = "USD", **more: Any) -> Row:
    base = {"item": "exchange", "currency": "EUR", "to_currency": to, "valid_from": LONG_AGO}
    return {**base, "price_micros": micros(price), "price_per": 1, **more}


def call(quantity: str | int, start: str = "2025-06-04 10:00", **more: Any) -> Row:
    """Return a call of some seconds (or another quantity) on a Wednesday morning."""
    defaults = {"service": "voice", "peer": "+4930111", "own_number": "4420111", "account": "a", "subscriber": "s", "order": b""}
    return {**defaults, "start_us": us(at(start)), "quantity_micros": micros(quantity), **more}


def book_of(rows: Sequence[Mapping[str, Any]]) -> Book:
    return Book.of(pl.DataFrame([{n: row.get(n) for n in TARIFF} for row in rows], schema=TARIFF))


def calls_of(calls: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return calls as input of the rater; calls without a number get one."""
    return pl.DataFrame([{n: c.get(n) for n in CALL} | {"call": c.get("call", i)} for i, c in enumerate(calls)], schema=CALL)


def rated(rows: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]]) -> RatingResult:
    return rate(calls_of(calls), book_of(rows))


def answers(rated: RatingResult) -> dict[int, tuple[int | None, str | None]]:
    """Return for each call its amount in millionths, or the reason why it has none."""
    return {call: (amount, reason) for call, amount, reason in rated.amounts.select("call", "amount_micros", "reason").iter_rows()}
