"""The rater's arithmetic of one session, as the kernel priced it at a position: for `explain`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.log.lake import Buckets, Lake
from trueup.rating.alternatives import alternatives
from trueup.rating.book import Book
from trueup.rating.rate import rate
from trueup.rating.steps import steps
from trueup.reconcile.calls import calls_of
from trueup.reconcile.components import grouped
from trueup.reconcile.frontier import Frontier
from trueup.reconcile.kernel import ruled
from trueup.reconcile.load import frontier_of, terms_of
from trueup.reconcile.match import units_of
from trueup.reconcile.pools import Pools, pools_of
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
    every = Buckets(0, lake.project.config.lake.buckets - 1)
    terms = terms_of(lake, every, position)
    events = records_of(lake, frontier, terms, [*usage, *charges], upto=position)
    units, pools = _units(events, [*usage, *charges], frontier, terms, position)
    number = int(terms.edition_at(pl.Series([position]).to_numpy())[0])
    sessions, bills = units.filter(~pl.col("charge")), units.filter("charge")
    if number < 0 or sessions.height != 1 or sessions["price_micros"][0] is not None:
        return None
    book = terms.editions[number].book
    session = sessions.with_columns(call=pl.lit(0, pl.UInt32))
    told = {"usage, by the tariff book": _steps(session, "quantity_micros", book, pools)}
    if bills.height != 1:
        return Retold(told)
    charged = pl.Series("charged", [bills["quantity_micros"][0]], dtype=pl.Int128)
    both = session.with_columns(charged).with_columns(pl.coalesce("charged", "quantity_micros"))
    if both["charged"][0] != both["quantity_micros"][0]:
        told["charged quantity, by the tariff book"] = _steps(both, "charged", book, pools)
    return Retold(told, None if billed_micros is None else _sentence(both, billed_micros, book, pools))


def _calls(session: pl.DataFrame, quantity: str, pools: Pools) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The session as the rater takes it, and the others of its pool where it has one."""
    mine, others = pools.calls_of(session, quantity)
    return (mine, others) if mine.height else (calls_of(session, quantity), None)


def _sentence(session: pl.DataFrame, billed_micros: int, book: Book, pools: Pools) -> str | None:
    billed = pl.DataFrame({"call": [0], "billed_micros": [billed_micros]}, schema={"call": pl.Int64, "billed_micros": pl.Int128})
    mine, others = _calls(session, "charged", pools)
    sentence: str | None = alternatives(mine, billed, book, others)["sentence"][0]
    return sentence


def _steps(session: pl.DataFrame, quantity: str, book: Book, pools: Pools) -> list[str]:
    mine, others = _calls(session, quantity, pools)
    return steps(rate(mine if others is None else pl.concat([mine, others]), book), 0, book)


def _units(
    events: pl.DataFrame, members: list[bytes], frontier: Frontier, terms: Terms, position: int
) -> tuple[pl.DataFrame, Pools]:
    """Sessions and bills of some records as the kernel gathers them at a position, and the pools of all."""
    all_events = ruled(events, frontier)
    pools = pools_of(all_events, frontier, terms, position)
    versions, groups = grouped(with_due(admit(all_events, frontier).versions, frontier))
    here = (pl.col("since") <= position) & (pl.col("until") > position)
    policy = int(frontier.policies.number_at(pl.Series([position]).to_numpy())[0])
    rows = versions.filter(here).with_columns(
        component=pl.col("gid"), at=pl.lit(position, pl.Int64), policy=pl.lit(policy, pl.Int64)
    )
    mine = rows.filter(pl.col("event_id").is_in(members)).select("gid", "charge").unique()
    numbered = pools.of(groups)
    return units_of(rows.join(mine, on=["gid", "charge"], how="semi"), frontier, terms, numbered)[1], numbered
