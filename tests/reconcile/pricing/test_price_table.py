"""Prices are asked in one place: the fast path, sessions, charged quantities and charges of periods get the same prices from it."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
from kernel_adapter import events_of, frontier_of, terms_of
from random_allowance_logs import allowance_log

import trueup.reconcile
from trueup.reconcile.blocking.components import assign_groups
from trueup.reconcile.kernel.evaluate import with_rules
from trueup.reconcile.kernel.fast_path.candidates import Candidates
from trueup.reconcile.kernel.fast_path.prices import price_usage
from trueup.reconcile.kernel.priced_sessions import priced_sessions
from trueup.reconcile.pricing.allowance_pools import build_pools
from trueup.reconcile.pricing.price_table import PriceTable
from trueup.reconcile.sessions.admission import resolve_contents, with_due_date

FLAT_RULE = {"price_micros": 100_000, "price_per": 1, "price_currency": "EUR", "currency": "EUR", "pool_session_id": None}


def compare_record_and_session_prices(n: int) -> int:
    """Check that records have the price of their session, from their position on; return how many have a price."""
    generator, log = allowance_log(random.Random(f"prices of records/{n}"))
    frontier, terms = frontier_of(log, generator.first), terms_of(log)
    events = with_rules(events_of(log), frontier)
    prices = PriceTable(terms, build_pools(events, frontier, terms, len(log)))
    candidates = Candidates.of(events, frontier)
    usage = candidates.single[~candidates.is_charge[candidates.single]]
    last = len(frontier.policies.all) - 1
    usage = usage[candidates.under_last[usage] & ~candidates.beyond_horizon(usage) & candidates.unchanged(usage, usage, terms)]
    of_records = price_usage(usage, candidates, prices)
    versions, groups = assign_groups(with_due_date(resolve_contents(events, frontier).versions, frontier))
    single = versions.filter(pl.col("event_id").is_in(events["event_id"].gather(usage).implode()))
    columns = {"component": pl.col("group_no"), "policy": pl.lit(last, pl.Int64)}
    sessions = pl.concat(
        priced_sessions(single.with_columns(at=at, **columns), frontier, prices.for_groups(groups))[1]
        for at in (pl.col("position"), pl.lit(len(log), pl.Int64))
    )
    named = of_records.with_columns(order=events["event_id"].gather(usage)).drop_nulls("expected_micros")
    joined = named.join(sessions.select("order", of_session="expected_micros"), on="order", how="left")
    assert joined.height == 2 * named.height
    assert joined["expected_micros"].to_list() == joined["of_session"].to_list(), f"log {n}"
    return named.height


def test_a_record_has_the_price_of_its_session_from_its_position_on() -> None:
    assert sum(compare_record_and_session_prices(n) for n in range(6)) > 10


def test_a_charged_quantity_is_priced_only_where_it_differs() -> None:
    quantities = {"usage_quantity": [60_000_000] * 3, "charge_quantity": [60_000_000, 90_000_000, None]}
    pairs = pl.DataFrame({"pair": ["equal", "other", "none"], **quantities}).with_columns(
        expected_micros=pl.lit(-1, pl.Int128), **{name: pl.lit(value) for name, value in FLAT_RULE.items()}
    )
    priced = PriceTable().with_charged_price(pairs).sort("pair")
    # −1 marks a price that was read instead of asked for.
    assert priced.select("pair", "charged_micros").rows() == [("equal", -1), ("none", None), ("other", 9_000_000)]


def test_only_the_price_table_asks_for_the_price_of_sessions() -> None:
    (folder,) = trueup.reconcile.__path__
    asking = {p.name for p in Path(folder).rglob("*.py") if "price_sessions(" in p.read_text("utf-8")}
    assert asking == {"session_price.py", "price_table.py"}
