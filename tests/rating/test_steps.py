"""The trace of the price of one record."""

from __future__ import annotations

from fractions import Fraction

from books import BOOKS, RECORDS
from hypothesis import given
from pricing import Row, at, band, book_of, call, calls_of, exchange, free, rated_at, stepped

from trueup.rating.rate import rate
from trueup.rating.trace import steps


def steps_of(rows: list[Row], *calls: Row) -> list[str]:
    """Return the steps of the last call."""
    book = book_of(rows)
    return steps(rate(calls_of(calls), book), len(calls) - 1, book)


def test_a_plain_record():
    assert steps_of([rated_at("0.10", tariff_code="T1", plan="P", destination="+49", **stepped(60, 60))], call(61, plan="P")) == [
        "tariff T1 as of 2020-01-01T00:00:00Z: service voice, plan P, prefix 49",
        "from 10:00:00Z: 120 s in increments of 60/60; 120 × 0.1 per 60 s = 0.2",
        "= 0.2 EUR",
    ]


def test_a_rate_of_an_origin_is_shown_with_it():
    assert steps_of([rated_at("0.10", destination="+49", origin="0044")], call(60))[0] == (
        "tariff without a code as of 2020-01-01T00:00:00Z: service voice, prefix 49, origin 44"
    )


def test_free_units_fees_tax_rounding_and_exchange():
    rows = [
        rated_at("0.10", setup_micros=50_000, tax_micros=190_000, decimals=2, rounding="half_up", **stepped(60, 1)),
        free("A", 20), free("B", 10), exchange("1.25"),
    ]  # fmt: skip
    assert steps_of(rows, call("61.5", currency="USD")) == [
        "tariff without a code as of 2020-01-01T00:00:00Z: service voice, any destination",
        "from 10:00:00Z: 62 s in increments of 60/1, 30 free by A, B; 32 × 0.1 per 60 s = 0.053333333333…",
        "+ set-up fee 0.05 = 0.103333333333…",
        "+ 19 % tax = 0.122966666666…",
        "rounded at the end, half up, to 2 decimals = 0.12",
        "× 1.25 USD per 1 EUR = 0.15",
        "= 0.15 USD",
    ]


def test_a_record_over_the_edge_of_a_band_and_a_change_of_price():
    rows = [
        rated_at("0.60"), rated_at("0.06", band="night", valid_from=at("2025-01-01 00:00")),
        band("night", from_time="20:00", to_time="06:00", timezone="Europe/Berlin"),
    ]  # fmt: skip
    assert steps_of(rows, call(60, "2025-06-04 17:59:30")) == [
        "tariff without a code as of 2020-01-01T00:00:00Z: service voice, any destination",
        "from 17:59:30Z: 30 s; 30 × 0.6 per 60 s = 0.3",
        "tariff without a code as of 2025-01-01T00:00:00Z: service voice, any destination, band night",
        "from 18:00:00Z: 30 s; 30 × 0.06 per 60 s = 0.03",
        "= 0.33 EUR",
    ]


def test_a_record_beyond_a_tier_raised_to_a_minimum():
    rows = [rated_at("0.60", minimum_micros=1_000_000), rated_at("0.30", tier_from_micros=100_000_000)]
    assert steps_of(rows, call(90), call(20, "2025-06-04 11:00")) == [
        "tariff without a code as of 2020-01-01T00:00:00Z: service voice, any destination",
        "from 11:00:00Z: 10 s; 10 × 0.6 per 60 s = 0.1",
        "from 11:00:00Z: 10 s; 10 × 0.3 per 60 s (beyond 100 s of the period) = 0.05",
        "raised to the minimum = 1",
        "= 1 EUR",
    ]


def test_a_record_limited_to_a_maximum():
    assert steps_of([rated_at("0.60", maximum_micros=250_000)], call(60))[1:] == [
        "from 10:00:00Z: 60 s; 60 × 0.6 per 60 s = 0.6", "limited to the maximum = 0.25", "= 0.25 EUR",
    ]  # fmt: skip


def test_free_first_seconds_a_record_too_short_and_the_price_of_the_start():
    row = rated_at("0.60", free_first_micros=10_000_000, chargeable_from_micros=6_000_000, priced_at="start", **stepped(6, 6))
    assert steps_of([row], call(15)) == [
        "tariff without a code as of 2020-01-01T00:00:00Z: service voice, any destination, priced at the start",
        "from 10:00:00Z: 10 s, the first 10 of each record, free",
        "from 10:00:10Z: 6 s in increments of 6/6; 6 × 0.6 per 60 s = 0.06",
        "= 0.06 EUR",
    ]
    assert steps_of([row], call(5))[1:] == ["from 10:00:00Z: 5 s, free: records of less than 6 s are not charged", "= 0 EUR"]


def test_prices_that_begin_within_a_record():
    row = rated_at("0.60", slots="60: 0.30/6; 180: 0.06", **stepped(30, 30))
    assert steps_of([row], call(200.5))[1:] == [
        "from 10:00:00Z: 60 s in increments of 30/30; 60 × 0.6 per 60 s = 0.6",
        "from 10:01:00Z: 120 s in increments of 6/6; 120 × 0.3 per 60 s (from 60 s of the record on) = 0.6",
        "from 10:03:00Z: 20.5 s; 20.5 × 0.06 per 60 s (from 180 s of the record on) = 0.0205",
        "= 1.2205 EUR",
    ]


def test_a_record_to_a_ported_number():
    moved = {"item": "ported", "destination": "4930111", "rated_as": "33", "valid_from": at("2025-01-01 00:00")}
    assert steps_of([rated_at("0.60", destination="33"), moved], call(60))[:2] == [
        "number +4930111 is ported: rated as 33", "tariff without a code as of 2020-01-01T00:00:00Z: service voice, prefix 33",
    ]  # fmt: skip


def test_a_record_without_a_price_has_a_reason():
    assert steps_of([rated_at("0.60", destination="+33")], call(60)) == ["no price: no_rate"]
    assert steps_of([rated_at("0.60")], call(60, currency="CHF"))[-2:] == [
        "EUR cannot be exchanged into CHF then", "no price: no_exchange_rate",
    ]  # fmt: skip


def test_the_trace_of_a_sum_between_two_millionths_names_its_rounding():
    assert steps_of([rated_at("0.10")], call(1))[1:] == [
        "from 10:00:00Z: 1 s; 1 × 0.1 per 60 s = 0.001666666666…", "to the millionth, half to even", "= 0.001667 EUR",
    ]  # fmt: skip


@given(BOOKS, RECORDS)
def test_the_steps_of_every_record_end_with_their_sum(rows, calls):
    """The last number before the amount equals the amount, except for fractions of a millionth."""
    book = book_of(rows)
    found = rate(calls_of(calls), book)
    for record, amount in found.amounts.select("call", "amount_micros").iter_rows():
        lines = steps(found, record, book)
        if amount is None:
            assert lines[-1].startswith("no price: ")
            continue
        assert Fraction(lines[-1].split()[1]) * 1_000_000 == amount
        exact = not any("…" in line for line in lines)
        sums = [Fraction(line.split(" = ")[-1].removesuffix("…")) * 1_000_000 for line in lines[:-1] if " = " in line]
        after_parts = [line for line in lines if line.startswith(("+", "×", "r", "l"))]
        total = sums[-1] if after_parts else sum(sums)
        assert abs(total - amount) <= (Fraction(1) if not exact or "to the millionth" in lines[-2] else 0)
