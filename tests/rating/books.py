"""Random small tariff books and records, as Hypothesis draws them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from pricing import EPOCH, Row, at, us

BEGINS = [at(t) for t in ("2025-03-01 00:00", "2025-03-30 00:30", "2025-03-31 10:02", "2025-10-26 00:10")]
MOMENTS = [at(t) for t in ("2025-03-29 22:30", "2025-03-30 00:50", "2025-03-31 10:00", "2025-10-26 00:20", "2025-10-31 22:58")]
PEERS = ["49301", "4930", "4915", "33", "+4930", None]
OWN_NUMBERS = ["4420", "+44201", "1212", "s", None]
ZONES = ["Europe/Berlin", "America/New_York", None]
MICRO = 1_000_000


def _draw_or_none(values: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


def _draw_mostly_usual(values: list[Any], usual: Any = None) -> st.SearchStrategy[Any]:
    """Draw the usual value mostly, so that most records have a price."""
    return st.sampled_from([*[usual] * 6, *values])


def _draw_validity(edges: list[datetime] = BEGINS) -> dict[str, st.SearchStrategy[Any]]:
    return {
        "valid_from": _draw_mostly_usual(edges, at("2025-01-01 00:00")),
        "valid_to": _draw_mostly_usual([e + timedelta(days=20) for e in edges]),
    }


PRICES = st.sampled_from([0, 1, 7, 100_000, 333_333, -50_000])
STEPS = _draw_or_none(st.sampled_from([MICRO, 6 * MICRO, 30 * MICRO, 60 * MICRO]))
RATES = st.fixed_dictionaries(
    {
        "item": st.just("rate"), "service": st.sampled_from(["voice", "voice", "data"]), "plan": _draw_mostly_usual(["P", "P", "Q"]),
        "zone": _draw_mostly_usual(["roam"]), "trunk": _draw_mostly_usual(["t"]), "direction": _draw_mostly_usual(["out"]),
        "destination": st.sampled_from([None, "49", "+4930", "33"]), "origin": _draw_mostly_usual(["44", "+4420", "1", "4420"]), "band": st.sampled_from([None, None, "day", "off"]),
        "currency": st.just("EUR"), "price_micros": PRICES, "price_per": st.sampled_from([1, 7, 60]),
        "first_increment_micros": STEPS, "next_increment_micros": STEPS, "setup_micros": _draw_or_none(st.sampled_from([0, 90_000])),
        "minimum_micros": _draw_or_none(st.sampled_from([0, 20_000, 400_001])),
        "maximum_micros": _draw_mostly_usual([0, 150_000, 1_000_001]),
        "chargeable_from_micros": _draw_mostly_usual([0, MICRO, 30 * MICRO]), "free_first_micros": _draw_mostly_usual([0, 1, 10 * MICRO, 90 * MICRO]),
        "priced_at": _draw_mostly_usual(["increment", "start", "start"]),
        "tier_from_micros": st.sampled_from([None, None, None, 60 * MICRO, 200 * MICRO]),
        "slots": st.sampled_from([None, None, None, None, "30: 0.02/6", "45: 0.3/60; 90: 0", "1: -0.01/1; 70: 0.04/30"]),
        "rounding": _draw_or_none(st.sampled_from(["half_even", "half_up", "up", "down"])), "decimals": _draw_or_none(st.integers(0, 6)),
        "rounding_stage": _draw_or_none(st.sampled_from(["increment", "record", "total"])),
        "tax_micros": st.sampled_from([None, 0, 190_000, 77_777]), "tax_included": _draw_or_none(st.booleans()),
        "shared": _draw_or_none(st.sampled_from(["account", "subscriber"])), "period": _draw_or_none(st.sampled_from(["day", "week", "month", "cycle"])),
        "timezone": st.sampled_from(ZONES), **_draw_validity(),
    }
).map(lambda row: row | {"unit": "s" if row["service"] == "voice" else "KB"})  # fmt: skip
ANY = dict.fromkeys(["plan", "zone", "trunk", "direction", "destination", "origin", "band", "tier_from_micros", "valid_to"])
BASES = RATES.map(lambda row: row | ANY | {"service": "voice", "unit": "s", "valid_from": at("2025-01-01 00:00")})
"""A rate that applies to most records that no other rate applies to."""
TIERS = st.lists(st.tuples(st.sampled_from([30 * MICRO, 90 * MICRO, 1000 * MICRO]), PRICES), max_size=2)


def _with_tiers(base: Row, tiers: list[tuple[int, int]]) -> list[Row]:
    return [base, *(base | {"tier_from_micros": begins, "price_micros": price, "tax_micros": None} for begins, price in tiers)]


TIMES = st.sampled_from(["00:00", "02:30", "08:00", "12:02", "20:00", "24:00"])
BANDS = st.fixed_dictionaries(
    {
        "item": st.just("band"), "band": st.sampled_from(["day", "off"]), "from_time": _draw_or_none(TIMES), "to_time": _draw_or_none(TIMES),
        "weekdays": st.sampled_from([None, "1-5", "6-7", "1,3,7", "6-7,hol", "hol"]), "timezone": st.sampled_from(ZONES),
        "calendar": _draw_or_none(st.just("DE")), **_draw_validity(),
    }
)  # fmt: skip
HOLIDAYS = st.builds(
    lambda day, calendar: {"item": "holiday", "valid_from": day, "calendar": calendar},
    st.sampled_from([at(d) for d in ("2025-03-30 00:00", "2025-03-31 00:00", "2025-10-26 00:00")]), _draw_or_none(st.just("DE")),
)  # fmt: skip
ALLOWANCES = st.fixed_dictionaries(
    {
        "item": st.just("allowance"), "name": st.sampled_from("AB"), "plan": _draw_or_none(st.sampled_from("PQ")),
        "services": st.sampled_from(["voice", "data", "voice, data"]), "units_micros": st.sampled_from([0, 45 * MICRO, 300 * MICRO]),
        "destination": st.sampled_from([None, "49"]), "zone": st.none(), "shared": _draw_or_none(st.sampled_from(["account", "subscriber"])),
        "period": _draw_or_none(st.sampled_from(["day", "week", "month", "cycle"])), "timezone": st.sampled_from(ZONES), **_draw_validity(),
    }
)  # fmt: skip
EXCHANGES = st.fixed_dictionaries(
    {
        "item": st.just("exchange"), "currency": st.just("EUR"), "to_currency": st.just("USD"), "price_per": _draw_or_none(st.sampled_from([1, 7])),
        "price_micros": st.sampled_from([1_100_000, 999_999]), **_draw_validity(),
    }
)  # fmt: skip
PORTED = st.fixed_dictionaries(
    {
        "item": st.just("ported"), "destination": st.sampled_from(["49301", "+4930", "4915", "33"]),
        "rated_as": st.sampled_from(["33", "49", "+4930"]), **_draw_validity(),
    }
)  # fmt: skip
BOOKS = st.tuples(
    st.builds(_with_tiers, BASES, TIERS) | st.just([]), st.lists(RATES, min_size=1, max_size=5), st.lists(BANDS, max_size=3), st.lists(HOLIDAYS, max_size=2),
    st.lists(ALLOWANCES, max_size=3), st.lists(EXCHANGES, max_size=2), st.lists(PORTED, max_size=2),
).map(lambda parts: [row for part in parts for row in part])  # fmt: skip


def _build_call(facts: Row) -> Row:
    start = facts.pop("moment") + timedelta(seconds=facts.pop("later_s"))
    return facts | {"start_us": us(start) + facts.pop("later_us")}


CALLS = st.fixed_dictionaries(
    {
        "service": st.sampled_from(["voice", "voice", "voice", "data"]), "plan": st.sampled_from([None, "P", "P", "Q"]),
        "direction": _draw_or_none(st.just("out")), "zone": _draw_or_none(st.just("roam")), "trunk": _draw_or_none(st.just("t")),
        "peer": st.sampled_from(PEERS), "own_number": st.sampled_from(OWN_NUMBERS), "account": st.sampled_from(["a", "a", None]), "subscriber": st.sampled_from(["s", "s", "u", None]),
        "cycle_day": st.sampled_from([None, 1, 15, 31]),
        "currency": st.sampled_from([None, "EUR", "USD"]), "moment": _draw_mostly_usual([EPOCH, *MOMENTS], MOMENTS[1]) | st.sampled_from(MOMENTS),
        "later_s": st.integers(0, 7200), "later_us": st.sampled_from([0, 0, 1, 500_000]),
        "quantity_micros": st.one_of(st.sampled_from([None, 0, 1]), st.integers(1, 200).map(lambda s: s * MICRO), st.integers(1, 4_000 * MICRO)),
        "order": st.binary(min_size=1, max_size=1),
    }
).map(_build_call)  # fmt: skip
RECORDS = st.lists(CALLS, min_size=1, max_size=8).map(lambda calls: [c | {"call": 10 * i + 3} for i, c in enumerate(calls)])
