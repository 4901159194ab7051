"""Terms of a tariff book in reconciliation, calculated by hand: a second costs 1 EUR unless a case differs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import lake_fixture
import pytest
from random_allowance_logs import moment, rate, row
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
    assert evaluated(log).fast_path_records["records"].sum() == 4


def test_the_charged_quantity_has_the_price_of_the_origin_too() -> None:
    """5 of 6 seconds from 44… are charged: 3 are missing."""
    log: Log = [[FROM_BRITAIN], [call("1")], [charge("1", 15, seconds=5)], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == [(3, "raised", "arrival", "underbilled", 3, None)]


def test_a_charge_without_regard_to_the_origin_is_misrated_for_that_reason() -> None:
    log: Log = [[FROM_BRITAIN], [call("1")], [charge("1", 6)], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == [(3, "raised", "arrival", "misrated", 12, "origin_ignored")]


def test_a_pair_that_differs_by_quantity_and_by_amount_goes_through_all_steps() -> None:
    """6 s are used and 5 are charged, at 9 instead of 5: 1 is missing and 4 are too much."""
    log: Log = [[Tariff((rate("voice", MICRO),))], [call("1")], [charge("1", 9, seconds=5)], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("misrated", -4), ("underbilled", 1)]
    assert evaluated(log).raised.is_empty()


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


def test_usage_within_the_free_first_seconds_is_not_unbilled() -> None:
    """The first 5 s are free: 5 s cost 0 and 6 s cost 1."""
    book = Tariff((rate("voice", MICRO, free_first_micros=5 * MICRO),))
    log: Log = [[book], [call("1", 5), call("2")], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 1)]


def test_free_first_seconds_are_those_of_the_whole_session() -> None:
    """Two partial records of 4 s are one session of 8 s: 3 s are charged."""
    book = Tariff((rate("voice", MICRO, free_first_micros=5 * MICRO),))
    parts = [replace(call("1", 4), key=f"u1{n}", part=n, started_us=moment(f"2024-05-01 10:00:0{4 * n}")) for n in range(2)]
    log: Log = [[book], parts, watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 3)]


@pytest.mark.parametrize(
    ("by_hand", "terms", "euros", "expected"),
    [
        ("6 − 5 = 1 s, billed 6 s", {"free_first_micros": 5 * MICRO}, 6, ("misrated", -5, "free_first_ignored")),
        ("6 s are too short, billed 6", {"chargeable_from_micros": 7 * MICRO}, 6, ("misrated", -6, "chargeable_from_ignored")),
        ("6 s cost at most 4, billed 6", {"maximum_micros": 4 * MICRO}, 6, ("misrated", -2, None)),
    ],
)
def test_a_bill_without_a_term_of_the_tariff_is_misrated_for_that_reason(
    by_hand: str, terms: dict[str, int], euros: int, expected: tuple[str, int, str | None]
) -> None:
    log: Log = [[Tariff((rate("voice", MICRO, **terms),))], [call("1")], [charge("1", euros)], watermarks_past("2024-06-02 00:00")]
    assert [c[3:] for c in changes(log)] == [expected], by_hand


def test_a_price_that_begins_in_a_call_does_not_reprice_one_that_is_priced_at_its_start() -> None:
    """From 10:00:03 on a second costs 3: by increments the call costs 3 + 9 = 12, at the price of its start 6."""
    later = Tariff((rate("voice", 3 * MICRO, valid_from=datetime(2024, 5, 1, 10, 0, 3, tzinfo=UTC)),))
    for terms, reprices in (({}, [12]), ({"priced_at": "start"}, [])):
        book = Tariff((rate("voice", MICRO, **terms),))
        log: Log = [[book], [call("1")], watermarks_past("2024-05-10 00:00"), [later]]
        assert [c[4] for c in changes(log) if c[0] == 4] == reprices


def test_a_bill_at_another_time_of_the_price_is_misrated_for_that_reason() -> None:
    """The band of 3 a second begins 3 s into the call of 7 s. It costs 3 + 12 = 15, or 7 at the price of the start."""
    night = row("band", band="night", from_time="10:00", to_time="11:00")
    late = {"started_us": moment("2024-05-01 09:59:57")}
    for terms, euros, expected in (({}, 7, (8, "priced_at_start")), ({"priced_at": "start"}, 15, (-8, "priced_by_increment"))):
        book = Tariff((rate("voice", MICRO, **terms), rate("voice", 3 * MICRO, band="night"), night))
        pair = [replace(call("1", 7), **late)], [replace(charge("1", euros, 7), **late)]
        assert [c[4:] for c in changes([[book], *pair, watermarks_past("2024-06-02 00:00")])] == [expected]


def test_a_number_ported_later_reprices_the_calls_since_then() -> None:
    """Known from position 4 on, a number is ported from 2 May on: the second of two calls costs 18 instead of 6."""
    book = Tariff((rate("voice", MICRO), rate("voice", 3 * MICRO, destination="49176")))
    later = Tariff((row("ported", destination="491511", rated_as="49176", valid_from=datetime(2024, 5, 2, tzinfo=UTC)),))
    calls = [replace(call(number), peer="491511") for number in "12"]
    log: Log = [[book], calls, watermarks_past("2024-05-10 00:00"), [later]]
    assert [c[:5] for c in changes(log)] == [
        (3, "raised", "frontier", "unbilled", 6), (3, "raised", "frontier", "unbilled", 6),
        (4, "revised", "tariff_change", "unbilled", 18),
    ]  # fmt: skip


def test_a_bill_for_the_former_network_of_a_ported_number_is_misrated_for_that_reason() -> None:
    moved = row("ported", destination="491511", rated_as="49176")
    book = Tariff((rate("voice", MICRO), rate("voice", 3 * MICRO, destination="49176"), moved))
    pair = [replace(call("1"), peer="491511")], [replace(charge("1", 6), peer="491511")]
    assert [c[3:] for c in changes([[book], *pair, watermarks_past("2024-06-02 00:00")])] == [("misrated", 12, "ported_ignored")]
