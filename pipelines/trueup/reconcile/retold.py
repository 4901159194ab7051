"""The rater's arithmetic of one session, as the kernel priced it at a position: for `explain`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.log.lake import Buckets, Lake
from trueup.rating.alternatives import alternatives
from trueup.rating.book import Book
from trueup.rating.rate import rate
from trueup.rating.steps import steps
from trueup.reconcile.components import grouped
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.kernel import ruled
from trueup.reconcile.load import frontier_of, terms_of
from trueup.reconcile.match import units_of
from trueup.reconcile.price import calls_of
from trueup.reconcile.reach import records_of
from trueup.reconcile.records import admit, with_due
from trueup.reconcile.terms import Terms


@dataclass(frozen=True)
class Retold:
    """The rater's steps by a title, and in words what made the amount that was billed."""

    steps: dict[str, list[str]]
    sentence: str | None = None


def retold(lake: Lake, usage: list[bytes], charges: list[bytes], billed_micros: int | None, *, position: int) -> Retold | None:
    """Prices a session, told by its event ids, again as of a position; None where no tariff book prices it.

    `billed_micros` is what a misrated one was billed. Sums of many sessions are not told one by one.
    """
    frontier = frontier_of(lake, position)
    events = records_of(lake, frontier, [*usage, *charges], upto=position)
    if events.is_empty():
        return None
    bucket = int(events["bucket"][0])
    terms = terms_of(lake, Buckets(bucket, bucket), position)
    number = int(terms.edition_at(pl.Series([position]).to_numpy())[0])
    units = _units(events, frontier, terms, position)
    sessions, bills = units.filter(~pl.col("charge")), units.filter("charge")
    if number < 0 or sessions.height != 1 or sessions["price_micros"][0] is not None:
        return None
    book = terms.editions[number].book
    session = sessions.with_columns(call=pl.lit(0, pl.Int64))
    told = {"usage, by the tariff book": _steps(session, "quantity_micros", book)}
    if bills.height != 1:
        return Retold(told)
    charged = pl.Series("charged", [bills["quantity_micros"][0]], dtype=pl.Int128)
    both = session.with_columns(charged).with_columns(pl.coalesce("charged", "quantity_micros"))
    if both["charged"][0] != both["quantity_micros"][0]:
        told["charged quantity, by the tariff book"] = _steps(both, "charged", book)
    return Retold(told, None if billed_micros is None else _sentence(both, billed_micros, book))


def _sentence(session: pl.DataFrame, billed_micros: int, book: Book) -> str | None:
    billed = pl.DataFrame({"call": [0], "billed_micros": [billed_micros]}, schema={"call": pl.Int64, "billed_micros": pl.Int128})
    sentence: str | None = alternatives(calls_of(session, "charged"), billed, book)["sentence"][0]
    return sentence


def _units(events: pl.DataFrame, frontier: Frontier, terms: Terms, position: int) -> pl.DataFrame:
    """Sessions and bills of records as the kernel gathers them at a position."""
    versions, _ = grouped(with_due(admit(ruled(events, frontier), frontier).versions, frontier))
    here = (pl.col("since") <= position) & (pl.col("until") > position)
    policy = int(frontier.policies.number_at(pl.Series([position]).to_numpy())[0])
    rows = versions.filter(here).with_columns(
        component=pl.col("gid"), at=pl.lit(position, pl.Int64), policy=pl.lit(policy, pl.Int64)
    )
    return units_of(rows, frontier, terms)[1]


def _steps(session: pl.DataFrame, quantity: str, book: Book) -> list[str]:
    return steps(rate(calls_of(session, quantity), book), 0, book)
