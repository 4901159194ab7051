"""Compare rating with a flat price, alone and within reconciliation, and time the validation of a book's rows.

    python benchmarks/rating.py [CALLS] [PREFIXES]

Prints records per second by a book of many prefixes, with and without allowances. Prints the ratio to a flat price per unit in
one expression, and the time of the book's validation. Then each call is reconciled with its charge, one in fifty of them wrong.
The price is flat, by the prefixes, or by the prefixes with allowances. Times differ between machines; only the ratios are
comparable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl

from trueup.config import ServiceConfig
from trueup.policies.policy import Policies, Policy, SourceRules
from trueup.rating.book import TARIFF, Book
from trueup.rating.book_validation import refusals
from trueup.rating.flat import flat_price
from trueup.rating.rate import CALL, rate
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.tariff_terms import FLAT, Edition, Terms, changes_of
from trueup.reconcile.results.outcome import Outcome
from trueup.reconcile.run_partition import reconcile_events
from trueup.reconcile.sessions.admission import EVENTS

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
MICRO = 1_000_000
PARTS = 5
MARCH_US = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) * MICRO
MONTH_US = 31 * 86_400 * MICRO


def tariff(prefixes: int) -> pl.DataFrame:
    """Return a rate of 60/1 for each of `prefixes` seven-digit prefixes, and one for all other destinations."""
    values = {
        "item": "rate", "service": "voice", "currency": "EUR", "unit": "s", "price_per": 60, "valid_from": FIRST,
        "first_increment_micros": 60 * MICRO, "next_increment_micros": MICRO,
    }  # fmt: skip
    number = pl.int_range(prefixes + 1)
    rows = pl.select(destination=pl.when(number > 0).then((number + 1_000_000).cast(pl.String)), price_micros=10_000 + number % 977)
    return _tariff_rows(rows.with_columns(pl.lit(v, TARIFF[n]).alias(n) for n, v in values.items()))


def allowance() -> pl.DataFrame:
    """Return an allowance of a hundred minutes a month for each subscriber."""
    row = {"item": "allowance", "name": "A", "services": "voice", "units_micros": 6_000 * MICRO, "valid_from": FIRST}
    return _tariff_rows(pl.DataFrame([row], schema={n: TARIFF[n] for n in row}))


def _tariff_rows(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in TARIFF.items())


def traffic(records: int, prefixes: int) -> pl.DataFrame:
    """Return calls of up to ten minutes in one month, over all prefixes, ten per subscriber."""
    i = pl.int_range(records)
    rows = pl.select(
        call=i, service=pl.lit("voice"), peer=pl.concat_str(pl.lit("+"), (i * 7919) % (prefixes * 2) + 1_000_001, i % 9000 + 1000),
        subscriber=pl.concat_str(pl.lit("s"), i // 10), start_us=MARCH_US + (i * 982_451_653_000) % MONTH_US,
        quantity_micros=(i * 31 % 600) * MICRO, order=i.cast(pl.String).cast(pl.Binary),
    )  # fmt: skip
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in CALL.items())


def seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def events(calls: pl.DataFrame, amounts: pl.Series) -> pl.DataFrame:
    """Return each call as usage and as a charge, each stream in five commits by time; one charge in fifty is a cent off."""
    part = pl.col("start_us").rank("ordinal").sub(1) * PARTS // calls.height
    names = {n: pl.col("call").cast(pl.String) for n in ("record_key", "session_key")}
    usage = calls.with_columns(
        charge=pl.lit(False), event_id="order", position=part + 1, source=pl.lit("n"), bucket=pl.lit(0), scope="subscriber",
        key_scope=pl.lit("n"), time_us="start_us", started=pl.lit(True), amount_micros=pl.lit(0),
        currency=pl.lit(None, pl.String), **names,
    )  # fmt: skip
    error_micros = pl.when(pl.col("call") % 50 == 7).then(10_000).otherwise(0)
    charges = usage.with_columns(
        charge=pl.lit(True), event_id=pl.concat_str(pl.lit("c"), names["record_key"]).cast(pl.Binary), source=pl.lit("b"),
        position=pl.col("position") + PARTS, key_scope=pl.lit("b"), amount_micros=amounts + error_micros, currency=pl.lit("EUR"),
    )  # fmt: skip
    return pl.concat([_columns(usage), _columns(charges)])


def _columns(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(n).cast(t) if n in rows.columns else pl.lit(None, t).alias(n) for n, t in EVENTS.items())


def reconcile_month(rows: pl.DataFrame, book: Book | None) -> Outcome:
    """Reconcile the usage and charges of the month after its end, priced by a book or by a flat price."""
    rules = ServiceConfig.model_construct(
        match=("session_key",), start_tolerance=0, quantity_tolerance=0, amount_tolerance=1_000, grace=0,
        price=None if book else 10_000, price_per=60, currency=None, period=86_400 * MICRO,
    )  # fmt: skip
    policy = Policy(0, {"voice": rules}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
    end = pl.DataFrame({"position": [2 * PARTS + 1], "value": [MARCH_US + 2 * MONTH_US]})
    frontier = Frontier(Policies([policy]), closed={name: RunningMax.of(end) for name in ("n", "b")})
    terms = Terms((Edition(0, book),), changes=changes_of([], FLAT.states)) if book else FLAT
    return reconcile_events(rows, frontier, terms, after=0, upto=2 * PARTS + 1)


def main() -> None:
    records, prefixes = (int(a) for a in (*sys.argv[1:], *("1000000", "500000")[len(sys.argv) - 1 :]))
    rows, calls = tariff(prefixes), traffic(records, prefixes)
    flat_s = seconds(lambda: calls.select(flat_price(pl.col("quantity_micros"), pl.lit(10_000), pl.lit(60))))
    print(f"{records:,} calls, {prefixes:,} prefixes; flat price: {records / flat_s:,.0f} records/s")
    for name, book_rows in (("prefixes", rows), ("prefixes and allowances", pl.concat([rows, allowance()]))):
        book = Book.of(book_rows)
        book_s = seconds(lambda book=book: rate(calls, book))
        print(f"{name}: {book_s:.1f} s, {records / book_s:,.0f} records/s, {book_s / flat_s:.0f} times a flat price")
    flat = calls.select(flat_price(pl.col("quantity_micros"), pl.lit(10_000), pl.lit(60)))["quantity_micros"].cast(pl.Int64)
    records = events(calls, flat)
    flat_priced_s = seconds(lambda: reconcile_month(records, None))
    print(f"reconciled by a flat price: {flat_priced_s:.1f} s, {records.height / flat_priced_s:,.0f} records/s")
    for name, book_rows in (("prefixes", rows), ("prefixes and allowances", pl.concat([rows, allowance()]))):
        book = Book.of(book_rows)
        rated = events(calls, rate(calls, book).amounts["amount_micros"].cast(pl.Int64))
        book_s = seconds(lambda book=book, rated=rated: reconcile_month(rated, book))
        print(
            f"reconciled by {name}: {book_s:.1f} s, {rated.height / book_s:,.0f} records/s, "
            f"{book_s / flat_priced_s:.1f} times as long"
        )
    new = rows.with_row_index("source_row")
    print(f"refusals of {new.height:,} rows: {seconds(lambda: refusals(rows.clear(), new)):.1f} s")


if __name__ == "__main__":
    main()
