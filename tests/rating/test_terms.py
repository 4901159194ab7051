"""Terms that depend on the subscriber's own number, on the beginning of a record or on its length, each worked out by hand.

Amounts are in millionths: 200000 is 0.20. Calls are to +4930111 from 4420111, on a Wednesday of summer, 10:00 UTC.
"""

from __future__ import annotations

import pytest
from pricing import Row, answers, band, call, free, rated, rated_at


def prices(rows: list[Row], *calls: Row) -> list[int | str | None]:
    """Return the amounts of calls in millionths, or the reasons for none."""
    return [why if amount is None else amount for amount, why in answers(rated(rows, calls)).values()]


FROM_BRITAIN = rated_at("0.30", destination="49", origin="44")
FROM_ANYWHERE = rated_at("0.80", destination="49")


@pytest.mark.parametrize(
    ("by_hand", "own_number", "gives"),
    [
        ("from 44…: a minute at 0.30", "442079460001", 300_000),
        ("from 44…, in international notation", "+44 2079 460001", 300_000),
        ("from 44…, with the mark 00", "00442079460001", 300_000),
        ("from 1…: a minute at 0.80", "12125550100", 800_000),
        ("from a number that is shorter than the origin", "4", 800_000),
        ("from a number that is no number", "pbx-44", 800_000),
        ("from an unknown number", None, 800_000),
    ],
)
def test_a_rate_may_be_limited_to_calls_from_an_origin(by_hand: str, own_number: str | None, gives: int):
    assert prices([FROM_BRITAIN, FROM_ANYWHERE], call(60, own_number=own_number)) == [gives], by_hand


def test_the_longest_origin_prices_a_call():
    """From 4477…: 0.10; from other numbers of 44…: 0.30."""
    rows = [rated_at("0.10", destination="49", origin="4477"), FROM_BRITAIN, FROM_ANYWHERE]
    assert prices(rows, call(60, own_number="447700900001"), call(60, own_number="442079460001")) == [100_000, 300_000]


def test_the_longest_destination_comes_before_the_longest_origin():
    """To 4930… the rate of 4930 holds from any origin, although another of 49 is for 44."""
    rows = [FROM_BRITAIN, rated_at("0.50", destination="4930"), rated_at("0.40", origin="4420")]
    assert prices(rows, call(60), call(60, peer="+4940111"), call(60, peer="+33111")) == [500_000, 300_000, 400_000]


def test_the_longest_origin_comes_before_a_band():
    """Of two rates of one destination, that of the origin holds, although the other has a band."""
    rows = [FROM_BRITAIN, rated_at("0.60", destination="49", band="day"), band("day", from_time="08:00", to_time="20:00")]
    assert prices(rows, call(60), call(60, own_number="1212")) == [300_000, 600_000]


def test_a_plan_comes_before_an_origin():
    rows = [FROM_BRITAIN, rated_at("0.20", plan="P", destination="49")]
    assert prices(rows, call(60, plan="P"), call(60)) == [200_000, 300_000]


def test_a_call_from_an_origin_without_a_rate_has_no_price():
    assert prices([FROM_BRITAIN], call(60, own_number="1212")) == ["no_rate"]


def test_tiers_of_an_origin_are_its_own():
    """Beyond a minute a call from 44… costs 0.06 a minute; that from 1… still 0.80."""
    rows = [FROM_BRITAIN, FROM_BRITAIN | {"tier_from_micros": 60_000_000, "price_micros": 60_000}, FROM_ANYWHERE]
    assert prices(rows, call(120), call(120, own_number="1212", subscriber="t")) == [360_000, 1_600_000]


def test_two_rates_that_differ_in_their_origin_alone_are_no_versions_of_one_another():
    """The rate from 1… begins later, and does not end that from 44…."""
    later = rated_at("0.70", destination="49", origin="1", valid_from=FROM_BRITAIN["valid_from"].replace(year=2022))
    assert prices([FROM_BRITAIN, later], call(60), call(60, own_number="1212")) == [300_000, 700_000]


def test_an_allowance_covers_calls_from_every_origin():
    assert prices([FROM_BRITAIN, FROM_ANYWHERE, free("A", 30)], call(60)) == [150_000]


def test_a_maximum_limits_the_price_of_a_record_with_its_set_up_fee():
    """0.10 a minute and 0.05 once, at most 0.25: 0.15 for a minute, 0.25 for two and for an hour."""
    row = rated_at("0.10", setup_micros=50_000, maximum_micros=250_000)
    assert prices([row], call(60), call(120), call(3600)) == [150_000, 250_000, 250_000]


def test_a_maximum_holds_before_tax():
    """0.60 is limited to 0.25; with 19 % tax 0.2975."""
    assert prices([rated_at("0.60", maximum_micros=250_000, tax_micros=190_000)], call(60)) == [297_500]


def test_a_limited_price_is_rounded_like_any_other():
    """0.125 is rounded up to 0.13."""
    assert prices([rated_at("0.60", maximum_micros=125_000, rounding="up", decimals=2)], call(60)) == [130_000]


def test_the_maximum_of_the_first_rate_holds_for_the_whole_record():
    """From 20:00 on a minute costs 0.60 with a maximum of 0.10: half a minute before it costs 0.30, and half a minute after it 0.30."""
    rows = [
        rated_at("0.60"),
        rated_at("0.60", band="night", maximum_micros=100_000),
        band("night", from_time="20:00", to_time="06:00"),
    ]
    assert prices(rows, call(60, "2025-06-04 19:59:30"), call(60, "2025-06-04 20:00")) == [600_000, 100_000]
