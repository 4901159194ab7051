"""Terms of a tariff book in reconciliation, calculated by hand: a second costs 1 EUR unless a case differs."""

from __future__ import annotations

from pathlib import Path

import lake_fixture
import pytest
from random_allowance_logs import rate
from random_logs import MICRO, service
from rated_logs import POLICY, c, changes, evaluated, u, watermarks_past
from reference_model.log import Log, Record, Tariff

from trueup.policies.policy import Policy
from trueup.reconcile.reprice import trace_price

FROM_BRITAIN = Tariff((rate("voice", MICRO), rate("voice", 3 * MICRO, origin="44")))


def call(number: str, seconds: int = 6, subscriber: str = "4420111") -> Record:
    return u(number, f"2024-05-0{number} 10:00", seconds, subscriber=subscriber, scope=subscriber)


def charge(number: str, euros: int, seconds: int = 6, subscriber: str = "4420111") -> Record:
    return c(number, f"2024-05-0{number} 10:00", seconds, euros, subscriber=subscriber, scope=subscriber)


def test_a_call_is_priced_by_the_origin_of_its_subscriber() -> None:
    """6 s from 44… cost 18, from 1… they cost 6."""
    log: Log = [[FROM_BRITAIN], [call("1"), call("2", subscriber="1212")], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 18), ("unbilled", 6)]


def test_a_charge_at_the_price_of_its_origin_agrees_on_the_fast_path() -> None:
    charges = [charge("1", 18), charge("2", 6, subscriber="1212")]
    log: Log = [[FROM_BRITAIN], [call("1"), call("2", subscriber="1212")], charges, watermarks_past("2024-06-02 00:00")]
    assert changes(log) == []
    assert evaluated(log).fast_path_records.height == 4


def test_the_charged_quantity_has_the_price_of_the_origin_too() -> None:
    """5 of 6 seconds from 44… are charged: 3 are missing."""
    log: Log = [[FROM_BRITAIN], [call("1")], [charge("1", 15, seconds=5)], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == [(3, "raised", "arrival", "underbilled", 3, None)]


def test_a_charge_without_regard_to_the_origin_is_misrated_for_that_reason() -> None:
    log: Log = [[FROM_BRITAIN], [call("1")], [charge("1", 6)], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == [(3, "raised", "arrival", "misrated", 12, "origin_ignored")]


def test_a_later_rate_of_an_origin_reprices_its_calls_alone() -> None:
    """From position 4 on a second from 44… costs 3: the first call costs 18 instead of 6."""
    book, later = Tariff(FROM_BRITAIN.rows[:1]), Tariff(FROM_BRITAIN.rows[1:])
    log: Log = [[book], [call("1"), call("2", subscriber="1212")], watermarks_past("2024-05-10 00:00"), [later]]
    assert [c[:5] for c in changes(log)] == [
        (3, "raised", "frontier", "unbilled", 6), (3, "raised", "frontier", "unbilled", 6),
        (4, "revised", "tariff_change", "unbilled", 18),
    ]  # fmt: skip


def test_a_sum_of_charges_is_compared_with_prices_by_origin() -> None:
    """By day, 18 expected from 44… and 6 from 1…, each billed 6."""
    aggregated = service(("aggregate",), grace=3_600 * MICRO, price=None, period=86_400 * MICRO)
    policy = Policy(0, {"voice": aggregated}, sources=POLICY.sources)
    charges = [charge("1", 6), charge("2", 6, subscriber="1212")]
    log: Log = [[FROM_BRITAIN], [call("1"), call("2", subscriber="1212")], charges, watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log, policy)] == [("misrated", 12)]


def test_tiers_of_an_origin_are_counted_in_its_pool() -> None:
    """Of the second call from 44…, 4 s are below 10 s and cost 3 each, 2 are above and cost 1: 14."""
    tier = rate("voice", MICRO, origin="44", tier_from_micros=10 * MICRO)
    log: Log = [[Tariff((*FROM_BRITAIN.rows, tier))], [call("1"), call("2")], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 14), ("unbilled", 18)]


@pytest.mark.parametrize("shared", [False, True], ids=["each by itself", "in a pool"])
def test_the_trace_of_a_price_has_the_origin(shared: bool, tmp_path: Path) -> None:
    tier = rate("voice", MICRO, origin="44", tier_from_micros=100 * MICRO)
    book = Tariff((*FROM_BRITAIN.rows, *([tier] if shared else [])))
    log, rows = lake_fixture.with_event_ids_of_lake([[POLICY], [book], [call("1")], [charge("1", 6)]], "subscriber")
    with lake_fixture.quick_lake(tmp_path, log, rows, "subscriber") as lake:
        ids = [lake.read(stream, columns=["event_id"])["event_id"].to_list() for stream in ("usage", "charge")]
        trace = trace_price(lake, *ids, 6 * MICRO, position=len(log))
    assert trace is not None and trace.sentence == "billed as from any origin"
    assert trace.steps["usage, by the tariff book"][0].endswith("any destination, origin 44")
    assert trace.steps["usage, by the tariff book"][-1] == "= 18 EUR"
