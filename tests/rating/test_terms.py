"""Terms that depend on the subscriber's own number, on the beginning of a record or on its length, each worked out by hand.

Amounts are in millionths: 200000 is 0.20. Calls are to +4930111 from 4420111, on a Wednesday of summer, 10:00 UTC.
"""

from __future__ import annotations

from typing import Any

import pytest
from pricing import MICRO, Row, answers, at, band, call, free, micros, rated, rated_at, stepped


def prices(rows: list[Row], *calls: Row) -> list[int | str | None]:
    """Return the amounts of calls in millionths, or the reasons why they have none."""
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
        ("from a text that is not a number", "pbx-44", 800_000),
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
    """Of two rates of one destination, the rate with the origin holds, although the other has a band."""
    rows = [FROM_BRITAIN, rated_at("0.60", destination="49", band="day"), band("day", from_time="08:00", to_time="20:00")]
    assert prices(rows, call(60), call(60, own_number="1212")) == [300_000, 600_000]


def test_a_plan_comes_before_an_origin():
    rows = [FROM_BRITAIN, rated_at("0.20", plan="P", destination="49")]
    assert prices(rows, call(60, plan="P"), call(60)) == [200_000, 300_000]


def test_a_call_from_an_origin_without_a_rate_has_no_price():
    assert prices([FROM_BRITAIN], call(60, own_number="1212")) == ["no_rate"]


def test_tiers_of_an_origin_are_its_own():
    """Beyond a minute a call from 44… costs 0.06 a minute, and a call from 1… still 0.80."""
    rows = [FROM_BRITAIN, FROM_BRITAIN | {"tier_from_micros": 60_000_000, "price_micros": 60_000}, FROM_ANYWHERE]
    assert prices(rows, call(120), call(120, own_number="1212", subscriber="t")) == [360_000, 1_600_000]


def test_two_rates_that_differ_only_in_their_origin_are_not_versions_of_each_other():
    """The rate from 1… begins later, and does not end the rate from 44…."""
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
    """From 20:00 on a minute costs 0.60 with a maximum of 0.10.

    Half a minute before it costs 0.30, and half a minute after it 0.30.
    """
    rows = [
        rated_at("0.60"),
        rated_at("0.60", band="night", maximum_micros=100_000),
        band("night", from_time="20:00", to_time="06:00"),
    ]
    assert prices(rows, call(60, "2025-06-04 19:59:30"), call(60, "2025-06-04 20:00")) == [600_000, 100_000]


THREE_PRICES = rated_at("0.60", slots="60: 0.30/6; 180: 0.06", **stepped(30, 30))


@pytest.mark.parametrize(
    ("by_hand", "seconds", "amount"),
    [
        ("30 × 0.01", 1, 300_000), ("two increments of 30 s: 0.60", 31, 600_000), ("0.60", 60, 600_000),
        ("0.60 + 6 × 0.005", 61, 630_000), ("0.60 + 120 × 0.005", 180, 1_200_000), ("1.20 + 1 × 0.001", 181, 1_201_000),
        ("1.20 + 0.5 × 0.001: exactly what is used", 180.5, 1_200_500), ("nothing", 0, 0),
    ],
)  # fmt: skip
def test_a_price_and_increment_that_change_within_a_record(by_hand: str, seconds: float, amount: int):
    assert prices([THREE_PRICES], call(seconds)) == [amount], by_hand


def test_an_increment_has_the_price_of_the_slot_in_which_it_begins():
    """0.01 a second in steps of 40 s, and 0.02 from 60 s on.

    The second step begins at 40 s and ends at 80 s; 20 × 0.02 follow.
    """
    assert prices([rated_at("0.60", slots="60: 1.20/1", **stepped(40, 40))], call(100)) == [1_200_000]


def test_slots_are_counted_behind_the_free_beginning_and_by_allowances():
    """10 s are free, 60 s cost 0.60, then 0.02 a second; an allowance of 30 s covers the beginning of the rest."""
    row = rated_at("0.60", slots="60: 1.20/1", free_first_micros=10 * MICRO)
    assert prices([row], call(80)) == [800_000]
    assert prices([row, free("A", 30)], call(80)) == [500_000]


def test_a_price_that_begins_at_a_time_has_its_slots_too():
    """From 20:00 on 0.12 a minute, and 0.06 after two minutes of the record."""
    rows = [
        rated_at("0.60"), rated_at("0.12", slots="120: 0.06/1", band="night"), band("night", from_time="20:00", to_time="06:00"),
    ]  # fmt: skip
    # 60 s before 20:00 cost 0.60; the next 60 s 0.12, the last 60 s 0.06.
    assert prices(rows, call(180, "2025-06-04 19:59")) == [780_000]


INCLUDED = rated_at("0.60", free_first_micros=10 * MICRO)


@pytest.mark.parametrize(
    ("by_hand", "row", "seconds", "gives"),
    [
        ("8 of 10 s are free", INCLUDED, 8, 0),
        ("10 of 10 s are free", INCLUDED, 10, 0),
        ("15 − 10 = 5 s × 0.60/60", INCLUDED, 15, 50_000),
        ("nothing", INCLUDED, 0, 0),
        ("increments begin after the free seconds: 70 − 10 = 60 s, one minute", INCLUDED | stepped(60, 60), 70, 600_000),
        ("71 − 10 = 61 s, two minutes", INCLUDED | stepped(60, 60), 71, 1_200_000),
        ("the first increment is the one after them: 1 s is 30 s, 0.30", INCLUDED | stepped(30, 6), 11, 300_000),
        ("37 − 10 = 27 s is 30 s", INCLUDED | stepped(30, 6), 37, 300_000),
        ("a record that is wholly free has no set-up fee", INCLUDED | {"setup_micros": 50_000}, 10, 0),
        ("nor a minimum", INCLUDED | {"minimum_micros": 50_000}, 10, 0),
        ("a longer one has both: 0.05 + 0.01 = 0.06, at least 0.25", INCLUDED | {"setup_micros": 50_000, "minimum_micros": 250_000}, 11, 250_000),
        ("half a second: 10.5 − 10", INCLUDED, "10.5", 5_000),
    ],
)  # fmt: skip
def test_the_first_seconds_of_each_record_are_free(by_hand: str, row: Row, seconds: int | str, gives: int):
    assert prices([row], call(seconds)) == [gives], by_hand


def test_free_first_units_of_a_volume_are_at_the_instant_of_the_record():
    """1500 − 500 = 1000 KB × 0.01."""
    row = rated_at("0.01", per=1, service="data", unit="KB", free_first_micros=500 * MICRO)
    assert prices([row], call(1500, service="data")) == [10_000_000]


def test_free_first_seconds_take_nothing_from_an_allowance():
    """Of 40 s 10 are free at the beginning and 30 by the allowance.

    Of the next 40 s 10 are free, and 5 by the allowance: 25 × 0.01.
    """
    assert prices([INCLUDED, free("A", 35)], call(40), call(40, "2025-06-04 11:00")) == [0, 250_000]


def test_free_first_seconds_do_not_count_in_a_tier():
    """Of 40 s 30 are paid, the tier of 30 s is full: of the next 40 s 30 are beyond it, × 0.06/60."""
    rows = [INCLUDED, INCLUDED | {"tier_from_micros": 30 * MICRO, "price_micros": 60_000}]
    assert prices(rows, call(40), call(40, "2025-06-04 11:00")) == [300_000, 30_000]


def test_free_first_seconds_are_those_of_the_rate_in_force_at_the_start():
    """The band of 0.06 a minute begins 5 s later; the 10 free seconds of the day hold, and the other 20 s cost 0.02."""
    rows = [INCLUDED, rated_at("0.06", band="night"), band("night", from_time="20:00", to_time="06:00")]
    assert prices(rows, call(30, "2025-06-04 19:59:55"), call(30, "2025-06-04 20:00")) == [20_000, 30_000]


def test_set_up_fee_and_tax_are_those_of_the_rate_at_the_start_although_its_seconds_were_free():
    rows = [
        INCLUDED | {"setup_micros": 100_000, "tax_micros": 500_000}, rated_at("0.06", band="night"),
        band("night", from_time="20:00", to_time="06:00"),
    ]  # fmt: skip
    assert prices(rows, call(30, "2025-06-04 19:59:55")) == [180_000], "(0.10 + 0.02) × 1.5"


def test_each_increment_is_rounded_after_the_free_seconds():
    """25 − 10 = 15 s: two increments of 10 s × 0.05/60 = 0.00833… → 0.01 each."""
    row = rated_at("0.05", free_first_micros=10 * MICRO, rounding="up", decimals=2, rounding_stage="increment", **stepped(10, 10))
    assert prices([row], call(25)) == [20_000]


CHARGEABLE = rated_at("0.60", chargeable_from_micros=6 * MICRO, setup_micros=50_000)


@pytest.mark.parametrize(
    ("by_hand", "row", "seconds", "gives"),
    [
        ("5.999999 s are too short", CHARGEABLE, "5.999999", 0),
        ("6 s are charged from their beginning: 0.05 + 6 × 0.01", CHARGEABLE, 6, 110_000),
        ("a short record is not charged its first increment", CHARGEABLE | stepped(60, 60), 5, 0),
        ("a longer one is: 0.05 + 0.60", CHARGEABLE | stepped(60, 60), 6, 650_000),
        (
            "8 s are long enough, and the first 5 are free: 0.05 + 3 × 0.01",
            CHARGEABLE | {"free_first_micros": 5 * MICRO},
            8,
            80_000,
        ),
    ],
)
def test_a_record_below_the_least_chargeable_quantity_costs_nothing(by_hand: str, row: Row, seconds: int | str, gives: int):
    assert prices([row], call(seconds)) == [gives], by_hand


def test_a_record_too_short_to_be_charged_takes_nothing_from_an_allowance():
    """5 s cost nothing; of the next 20 s 10 are free by the allowance: 0.05 + 10 × 0.01."""
    assert prices([CHARGEABLE, free("A", 10)], call(5), call(20, "2025-06-04 11:00")) == [0, 150_000]


OVER_MIDNIGHT = "2025-05-31 23:59:30"
CHANGED = rated_at("1.20", valid_from=at("2025-06-01 00:00"))


@pytest.mark.parametrize(
    ("by_hand", "former", "gives"),
    [
        ("by default each part has its price: 30 s × 0.01 + 60 s × 0.02", {}, 1_500_000),
        ("the same, said so", {"priced_at": "increment"}, 1_500_000),
        ("at the price of the start: 90 s × 0.01", {"priced_at": "start"}, 900_000),
        ("in increments of a minute: 2 × 0.60", {"priced_at": "start", **stepped(60, 60)}, 1_200_000),
        ("after 40 free seconds too, which end beyond midnight: 50 s × 0.01", {"priced_at": "start", "free_first_micros": 40 * MICRO}, 500_000),
    ],
)  # fmt: skip
def test_a_record_may_be_priced_as_a_whole_at_the_price_of_its_start(by_hand: str, former: Row, gives: int):
    assert prices([rated_at("0.60") | former, CHANGED], call(90, OVER_MIDNIGHT)) == [gives], by_hand


def test_the_price_of_the_start_holds_over_the_edge_of_a_band():
    """In the day 90 s × 0.01, and from 20:00 on 90 s × 0.001. Each part has its price; the last 60 s at 6:00 are of the day."""
    rows = [rated_at("0.60", priced_at="start"), rated_at("0.06", band="night"), band("night", from_time="20:00", to_time="06:00")]
    calls = [call(90, "2025-06-04 19:59:30"), call(90, "2025-06-04 05:59:30")]
    assert prices(rows, *calls) == [900_000, 630_000]


def test_a_rate_that_ends_in_a_record_still_prices_it_at_the_price_of_its_start():
    """There is no rate from June on, so without that term the record has no price."""
    ends = rated_at("0.60", valid_to=at("2025-06-01 00:00"))
    assert prices([ends | {"priced_at": "start"}], call(90, OVER_MIDNIGHT)) == [900_000]
    assert prices([ends], call(90, OVER_MIDNIGHT)) == ["no_rate"]


def test_a_record_without_a_rate_at_its_start_has_no_price():
    begins = rated_at("0.60", valid_from=at("2025-06-01 00:00"), free_first_micros=micros(60))
    assert prices([begins], call(90, OVER_MIDNIGHT)) == ["before_any_tariff"]


MOBILE_A, MOBILE_B = rated_at("0.06", destination="49151"), rated_at("0.60", destination="49176")


def ported(number: str, rated_as: str, **more: Any) -> Row:
    return {"item": "ported", "destination": number, "rated_as": rated_as, "valid_from": at("2025-06-01 00:00"), **more}


@pytest.mark.parametrize(
    ("by_hand", "peer", "start", "gives"),
    [
        ("a minute to 49151… at 0.06", "491511000002", "2025-06-04 10:00", 60_000),
        ("the ported number at 0.60 of its network", "491511000001", "2025-06-04 10:00", 600_000),
        ("in international notation", "+49 151 1000001", "2025-06-04 10:00", 600_000),
        ("before it was ported", "491511000001", "2025-05-31 23:59:59", 60_000),
        ("at the instant when it is ported", "491511000001", "2025-06-01 00:00", 600_000),
        ("a call over that instant is to the former network", "491511000001", "2025-05-31 23:59:30", 60_000),
        ("a number that only begins with it", "4915110000011", "2025-06-04 10:00", 60_000),
    ],
)
def test_a_call_to_a_ported_number_has_the_price_of_its_network(by_hand: str, peer: str, start: str, gives: int):
    assert prices([MOBILE_A, MOBILE_B, ported("491511000001", "49176")], call(60, start, peer=peer)) == [gives], by_hand


def test_a_number_may_be_ported_again_and_back():
    rows = [
        MOBILE_A, MOBILE_B, ported("491511000001", "49176"), ported("491511000001", "49151", valid_from=at("2025-06-03 00:00")),
        ported("491511000003", "49176", valid_to=at("2025-06-03 00:00")),
    ]  # fmt: skip
    peers = [("491511000001", "02"), ("491511000001", "03"), ("491511000003", "02"), ("491511000003", "03")]
    calls = [call(60, f"2025-06-{day} 10:00", peer=peer) for peer, day in peers]
    assert prices(rows, *calls) == [600_000, 60_000, 600_000, 60_000]


def test_an_allowance_of_a_network_covers_calls_to_numbers_ported_to_it():
    rows = [MOBILE_A, MOBILE_B, free("A", 30, destination="49176"), ported("491511000001", "49176")]
    assert prices(rows, call(60, peer="491511000001"), call(60, peer="491511000002")) == [300_000, 60_000]


def test_the_origin_of_a_call_is_the_number_as_it_is():
    rows = [rated_at("0.60", origin="49176"), rated_at("0.06"), ported("491511000001", "49176")]
    assert prices(rows, call(60, own_number="491511000001")) == [60_000]
