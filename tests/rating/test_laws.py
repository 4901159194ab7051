"""Laws of every tariff book and every record."""

from __future__ import annotations

from collections.abc import Sequence

import fractions_rater
import polars as pl
from books import BOOKS, CALLS, RECORDS
from hypothesis import assume, given
from hypothesis import strategies as st
from pricing import MICRO, Row, answers, band, book_of, call, calls_of, exchange, rated, rated_at, stepped
from repetitions import on_many_random, on_random

from trueup.rating.book import LARGEST
from trueup.rating.rate import rate

LARGE = st.integers(0, 62).map(lambda n: 2**n) | st.integers(0, 2**63 - 1)
ROUNDINGS = ["half_even", "half_up", "up", "down"]


def check_slow_rater(rows: list[Row], calls: list[Row]):
    assert answers(rated(rows, calls)) == fractions_rater.price(rows, calls)


test_the_rater_agrees_with_the_slow_rater_to_the_last_millionth = on_random(BOOKS, RECORDS, examples=90)(check_slow_rater)
test_the_rater_agrees_with_the_slow_rater_to_the_last_millionth_in_many_books = on_many_random(BOOKS, RECORDS, examples=300)(
    check_slow_rater
)


def check_order(rows, calls, chance):
    before = answers(rated(rows, calls))
    shuffled = chance.sample(calls, len(calls))
    assert answers(rated(rows, shuffled)) == before


test_the_order_of_arrival_does_not_change_prices = on_random(BOOKS, RECORDS, st.randoms(use_true_random=False), examples=40)(
    check_order
)
test_the_order_of_arrival_does_not_change_prices_in_many_books = on_many_random(
    BOOKS, RECORDS, st.randoms(use_true_random=False), examples=300
)(check_order)


def check_what_if(rows, calls, which, quantity):
    which %= len(calls)
    # Records with one id and one begin have no order among themselves.
    assume(len({(c["start_us"], c["order"]) for c in calls}) == len(calls))
    book, before = book_of(rows), answers(rated(rows, calls))
    other = calls[which] | {"call": 1, "quantity_micros": quantity}
    both = pl.concat([calls_of(calls).with_columns(aside=pl.lit(False)), calls_of([other]).with_columns(aside=pl.lit(True))])
    prices = answers(rate(both, book))
    in_place = [calls[which] | {"quantity_micros": quantity} if i == which else c for i, c in enumerate(calls)]
    assert prices.pop(1) == answers(rated(rows, in_place))[calls[which]["call"]]
    assert prices == before


test_a_what_if_record_has_the_price_of_the_record_that_it_replaces_and_changes_no_other = on_random(
    BOOKS, RECORDS, st.integers(0, 7), st.integers(0, 400 * MICRO), examples=30
)(check_what_if)
test_a_what_if_record_has_the_price_of_the_record_that_it_replaces_and_changes_no_other_in_many_books = on_many_random(
    BOOKS, RECORDS, st.integers(0, 7), st.integers(0, 400 * MICRO), examples=300
)(check_what_if)


def _keep_plain_prices(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with prices alone: exact to the microsecond, each µs at a whole number of millionths, no fees, nothing rounded."""
    off = {
        "first_increment_micros": None,
        "next_increment_micros": None,
        "setup_micros": None,
        "minimum_micros": None,
        "maximum_micros": None,
        "chargeable_from_micros": None,
        "free_first_micros": None,
        "priced_at": None,
        "slots": None,
        "decimals": None,
    }
    plain = [r | off | {"price_per": 1, "tax_micros": None, "tier_from_micros": None} if r["item"] == "rate" else r for r in rows]
    # A price for each µs, so that no part of a record ends in a fraction of a millionth.
    return [
        r | {"price_micros": r["price_micros"] * MICRO} if r["item"] == "rate" else r for r in plain if r["item"] != "allowance"
    ]


def check_cut(rows, record, cut):
    """Exact prices add up wherever a record is cut, also at the edge of a band."""
    record |= {"service": "voice", "currency": "EUR"}
    assume(record["quantity_micros"] and cut < record["quantity_micros"])
    before = record | {"quantity_micros": cut}
    after = record | {"quantity_micros": record["quantity_micros"] - cut, "start_us": record["start_us"] + cut}
    (whole, why), *parts = answers(rated(_keep_plain_prices(rows), [record, before, after])).values()
    if why is None:
        assert whole == sum(amount for amount, _ in parts)
    else:
        assert any(amount is None for amount, _ in parts)


test_a_record_cut_in_two_costs_the_same_where_nothing_is_stepped_or_rounded = on_random(
    BOOKS, CALLS, st.integers(1, 4_000 * MICRO), examples=40
)(check_cut)
test_a_record_cut_in_two_costs_the_same_where_nothing_is_stepped_or_rounded_in_many_books = on_many_random(
    BOOKS, CALLS, st.integers(1, 4_000 * MICRO), examples=300
)(check_cut)


def check_longer(rows, record, one, other):
    """Check the law for one record at a time and prices that are not negative, without rounding or rounded at the end.

    Tiers are left out, because a cheaper tier may end a dearer increment early. Rounding by increment is left out, because a record
    may pay less for a remainder rounded down. Where the longer record has a price, the shorter record has one too.
    """
    plain = [
        r | {"price_micros": abs(r["price_micros"]), "slots": r["slots"] and r["slots"].replace("-", "")} if r["item"] == "rate" else r
        for r in rows
    ]  # fmt: skip
    whole = [r | {"rounding_stage": "total", "tier_from_micros": None} if r["item"] == "rate" else r for r in plain]
    short, long = (answers(rated(whole, [record | {"quantity_micros": q}]))[0] for q in sorted((one, other)))
    assert long[0] is None or (short[0] is not None and short[0] <= long[0])


test_a_longer_record_never_costs_less = on_random(
    BOOKS, CALLS, st.integers(0, 4_000 * MICRO), st.integers(0, 4_000 * MICRO), examples=40
)(check_longer)
test_a_longer_record_never_costs_less_in_many_books = on_many_random(
    BOOKS, CALLS, st.integers(0, 4_000 * MICRO), st.integers(0, 4_000 * MICRO), examples=300
)(check_longer)


@given(
    LARGE, st.integers(-(2**63), 2**63 - 1), st.sampled_from([1, 7, 10**9 + 7]), st.none() | LARGE, LARGE, LARGE,
    st.sampled_from(ROUNDINGS), st.none() | st.integers(0, 6), st.sampled_from(["increment", "record", "total"]), LARGE,
)  # fmt: skip
def test_an_amount_that_is_too_large_is_refused_and_never_wrong(
    quantity, price, per, step, setup, tax, rounding, decimals, stage, fx
):
    steps = {"first_increment_micros": step or None, "next_increment_micros": step or None}
    fees = {"setup_micros": setup, "tax_micros": tax, "rounding": rounding, "decimals": decimals, "rounding_stage": stage}
    # A book with a longer increment is refused.
    assume((step or 1) <= 2**61)
    # The slow rater goes from increment to increment, so a record has no more than some hundred increments.
    assume(step is None or quantity // 100 < step <= LARGEST["first_increment_micros"])
    row = rated_at("1", per=per, service="data", unit="B", **steps, **fees) | {"price_micros": price}
    rows = [row, exchange("1") | {"price_micros": fx}]
    record = call(1, service="data", currency="USD") | {"quantity_micros": quantity, "call": 0}
    (amount, why), (exact, _) = answers(rated(rows, [record]))[0], fractions_rater.price(rows, [record])[0]
    assert (amount, why) in [(exact, None), (None, "amount_too_large")]
    # Only terms that no tariff has are refused although the amount itself would fit: such prices, or a price for such a number of
    # units.
    odd = max(abs(price), quantity, step or 0, setup, tax, fx) > 10**12 or per > 10**6
    assert why is None or abs(exact) > 10**18 or odd


def test_the_usual_amounts_are_not_too_large():
    """A petabyte in bytes at a millionth each, with tax and exchange."""
    row = rated_at("0.000001", per=1, service="data", unit="B", tax_micros=190_000, decimals=2, **stepped(1024, 1024))
    record = call(10**12, service="data", currency="USD")
    assert answers(rated([row, exchange("1.25")], [record])) == {0: (1_487_500_000_000, None)}


def test_a_large_amount_with_tax_in_a_currency_of_many_units_is_not_too_large():
    """A million of EUR per 61,440,000 units, 19 % tax, 16,000.5 IDR each: 19,040,595,000 IDR."""
    row = rated_at("1000000", per=61_440_000, service="data", unit="B", tax_micros=190_000)
    found = rated([row, exchange("16000.5", to="IDR")], [call(61_440_000, service="data", currency="IDR")])
    assert answers(found) == {0: (19_040_595_000_000_000, None)}


def test_a_book_without_bands_prices_as_one_with_a_band_that_is_always():
    rows = [rated_at("0.60", **stepped(60, 1))]
    banded = [rated_at("0.60", band="always", **stepped(60, 1)), band("always")]
    calls = [call(s) for s in (0, 1, 59, 61, 86_400)]
    assert answers(rated(rows, calls)) == answers(rated(banded, calls))
