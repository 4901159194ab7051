"""Price one session again as the kernel did at a position, to show the rater's arithmetic in `explain`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.log.lake import BucketRange, Lake
from trueup.rating.book import Book
from trueup.rating.error_hypotheses import explain_billed_amount
from trueup.rating.rate import rate
from trueup.rating.trace import steps
from trueup.reconcile.blocking.components import assign_groups
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.evaluate import with_rules
from trueup.reconcile.kernel.priced_sessions import priced_sessions
from trueup.reconcile.log_io.affected import records_with_closure
from trueup.reconcile.log_io.load import frontier_of, terms_of
from trueup.reconcile.pricing.allowance_pools import Pools, build_pools
from trueup.reconcile.pricing.calls import calls_of
from trueup.reconcile.pricing.price_table import PriceTable
from trueup.reconcile.sessions.admission import resolve_contents, with_due_date


@dataclass(frozen=True)
class PriceTrace:
    """The rater's steps by title, and a sentence on the mistake that explains the billed amount."""

    steps: dict[str, list[str]]
    sentence: str | None = None


def trace_price(
    lake: Lake, usage: list[bytes], charges: list[bytes], billed_micros: int | None, *, position: int
) -> PriceTrace | None:
    """Price a session, given by its event ids, again as of a position; return None where no tariff book prices it.

    `billed_micros` is the billed amount if the session is misrated. Sums of many sessions have no trace.
    """
    frontier = frontier_of(lake, position)
    every = BucketRange(0, lake.project.config.lake.buckets - 1)
    terms = terms_of(lake, every, position)
    events = records_with_closure(lake, frontier, terms, [*usage, *charges], upto=position)
    sessions, charge_groups, pools = _form_units(events, [*usage, *charges], frontier, terms, position)
    number = int(terms.edition_at(pl.Series([position]).to_numpy())[0])
    if number < 0 or sessions.height != 1 or sessions["price_micros"][0] is not None:
        return None
    book = terms.editions[number].book
    session = sessions.with_columns(call=pl.lit(0, pl.UInt32))
    steps_by_title = {"usage, by the tariff book": _trace_steps(session, "quantity_micros", book, pools)}
    if charge_groups.height != 1:
        return PriceTrace(steps_by_title)
    charged = pl.Series("charged", [charge_groups["quantity_micros"][0]], dtype=pl.Int128)
    with_charge = session.with_columns(charged).with_columns(pl.coalesce("charged", "quantity_micros"))
    if with_charge["charged"][0] != with_charge["quantity_micros"][0]:
        steps_by_title["charged quantity, by the tariff book"] = _trace_steps(with_charge, "charged", book, pools)
    return PriceTrace(steps_by_title, None if billed_micros is None else _explain_mistake(with_charge, billed_micros, book, pools))


def _build_calls(session: pl.DataFrame, quantity: str, pools: Pools) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the session in the rater's form, and the other sessions of its pool, if any."""
    own, others = pools.calls_of(session, quantity)
    return (own, others) if own.height else (calls_of(session, quantity), None)


def _explain_mistake(session: pl.DataFrame, billed_micros: int, book: Book, pools: Pools) -> str | None:
    billed = pl.DataFrame({"call": [0], "billed_micros": [billed_micros]}, schema={"call": pl.Int64, "billed_micros": pl.Int128})
    own, others = _build_calls(session, "charged", pools)
    sentence: str | None = explain_billed_amount(own, billed, book, others)["sentence"][0]
    return sentence


def _trace_steps(session: pl.DataFrame, quantity: str, book: Book, pools: Pools) -> list[str]:
    own, others = _build_calls(session, quantity, pools)
    return steps(rate(own if others is None else pl.concat([own, others]), book), 0, book)


def _form_units(
    events: pl.DataFrame, members: list[bytes], frontier: Frontier, terms: Terms, position: int
) -> tuple[pl.DataFrame, pl.DataFrame, Pools]:
    """Return (sessions, charge groups) of the records as the kernel forms them at a position, and the pools of all."""
    all_events = with_rules(events, frontier)
    pools = build_pools(all_events, frontier, terms, position)
    versions, groups = assign_groups(with_due_date(resolve_contents(all_events, frontier).versions, frontier))
    in_force = (pl.col("since") <= position) & (pl.col("until") > position)
    policy = int(frontier.policies.number_at(pl.Series([position]).to_numpy())[0])
    rows = versions.filter(in_force).with_columns(
        component=pl.col("group_no"), at=pl.lit(position, pl.Int64), policy=pl.lit(policy, pl.Int64)
    )
    requested = rows.filter(pl.col("event_id").is_in(members)).select("group_no", "charge").unique()
    prices = PriceTable(terms, pools).for_groups(groups)
    of_request = rows.join(requested, on=["group_no", "charge"], how="semi")
    _, sessions, charge_groups = priced_sessions(of_request, frontier, prices)
    return sessions, charge_groups, prices.pools
