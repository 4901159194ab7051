"""Rating against a flat price, and the judging of a book's rows.

    python benchmarks/rating.py [CALLS] [PREFIXES]

Prints records per second by a book of many prefixes, with and without allowances, the ratio to a flat price per unit in one
expression, and the time refusals take. Times differ between machines; the ratios are what counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl

from trueup.rating.book import TARIFF, Book
from trueup.rating.flat import flat_price
from trueup.rating.rate import CALL, rate
from trueup.rating.refusals import refusals

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
MICRO = 1_000_000
MARCH_US = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) * MICRO
MONTH_US = 31 * 86_400 * MICRO


def tariff(prefixes: int) -> pl.DataFrame:
    """A rate of 60/1 for each of some seven-digit prefixes, and one for all others."""
    told = {
        "item": "rate", "service": "voice", "currency": "EUR", "unit": "s", "price_per": 60, "valid_from": FIRST,
        "first_increment_micros": 60 * MICRO, "next_increment_micros": MICRO,
    }  # fmt: skip
    number = pl.int_range(prefixes + 1)
    rows = pl.select(destination=pl.when(number > 0).then((number + 1_000_000).cast(pl.String)), price_micros=10_000 + number % 977)
    return _whole(rows.with_columns(pl.lit(v, TARIFF[n]).alias(n) for n, v in told.items()))


def allowance() -> pl.DataFrame:
    """A hundred minutes a month for each subscriber."""
    told = {"item": "allowance", "name": "A", "services": "voice", "units_micros": 6_000 * MICRO, "valid_from": FIRST}
    return _whole(pl.DataFrame([told], schema={n: TARIFF[n] for n in told}))


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in TARIFF.items())


def traffic(records: int, prefixes: int) -> pl.DataFrame:
    """Calls of up to ten minutes in one month, over all prefixes, ten to a subscriber."""
    i = pl.int_range(records)
    rows = pl.select(
        call=i, service=pl.lit("voice"), peer=pl.concat_str(pl.lit("+"), (i * 7919) % (prefixes * 2) + 1_000_001, i % 9000 + 1000),
        subscriber=pl.concat_str(pl.lit("s"), i // 10), start_us=MARCH_US + (i * 982_451_653_000) % MONTH_US,
        quantity_micros=(i * 31 % 600) * MICRO, order=i.cast(pl.String).cast(pl.Binary),
    )  # fmt: skip
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in CALL.items())


def timed(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def main() -> None:
    records, prefixes = (int(a) for a in (*sys.argv[1:], *("1000000", "500000")[len(sys.argv) - 1 :]))
    rows, calls = tariff(prefixes), traffic(records, prefixes)
    flat_s = timed(lambda: calls.select(flat_price(pl.col("quantity_micros"), pl.lit(10_000), pl.lit(60))))
    print(f"{records:,} calls, {prefixes:,} prefixes; flat price: {records / flat_s:,.0f} records/s")
    for name, told in (("prefixes", rows), ("prefixes and allowances", pl.concat([rows, allowance()]))):
        book = Book.of(told)
        taken_s = timed(lambda book=book: rate(calls, book))
        print(f"{name}: {taken_s:.1f} s, {records / taken_s:,.0f} records/s, {taken_s / flat_s:.0f} times a flat price")
    new = rows.with_row_index("source_row")
    print(f"refusals of {new.height:,} rows: {timed(lambda: refusals(rows.clear(), new)):.1f} s")


if __name__ == "__main__":
    main()
