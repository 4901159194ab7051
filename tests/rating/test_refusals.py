"""Rows of a tariff book that are refused."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from pricing import LONG_AGO, Row, at, band, exchange, free, holiday, rated_at

from trueup.rating.book import TARIFF
from trueup.rating.book_validation import refusals

MARCH, JUNE, JULY = at("2025-03-01 00:00"), at("2025-06-01 00:00"), at("2025-07-01 00:00")


def refused(new: Sequence[Row], known: Sequence[Row] = ()) -> list[tuple[int, str, str]]:
    """(`source_row`, reason, the column of the rule) of the rows that are refused; the rows are numbered from 1."""
    before, now = (pl.DataFrame([{n: row.get(n) for n in TARIFF} for row in rows], schema=TARIFF) for rows in (known, new))
    found = refusals(before, now.with_columns(source_row=pl.int_range(1, pl.len() + 1)))
    return [(row, reason, rule.split(":")[0]) for row, reason, rule in found.iter_rows()]


def test_a_valid_book_is_accepted_whole():
    rows = [
        rated_at("0.10", plan="P", band="night", tier_from_micros=0), rated_at("0.05", plan="P", band="night", tier_from_micros=5),
        band("night", from_time="20:00", to_time="06:00", weekdays="1-5,hol", calendar="DE", timezone="Europe/Berlin"),
        holiday("2025-10-03", "DE"), holiday("2025-12-25", "DE"), free("A", 100, plan="P"), exchange("1.25"),
        rated_at("0.10", valid_to=JUNE), rated_at("0.20", valid_from=JUNE), rated_at("0.10", destination="+49", price_per=1024),
    ]  # fmt: skip
    assert refused(rows) == []


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (rated_at("1") | {"service": None}, "service"), (rated_at("1") | {"price_micros": None}, "price_micros"),
        (rated_at("1") | {"currency": None}, "currency"), (rated_at("1") | {"valid_from": None}, "valid_from"),
        (rated_at("1") | {"item": None}, "item"), (band("x") | {"band": None}, "band"), (free("A", 1) | {"name": None}, "name"),
        (free("A", 1) | {"services": None}, "services"), (free("A", 1) | {"units_micros": None}, "units_micros"),
        (exchange("1") | {"currency": None}, "currency"), (exchange("1") | {"to_currency": None}, "to_currency"),
        (exchange("1") | {"price_micros": None}, "price_micros"),
    ],
)  # fmt: skip
def test_a_missing_required_column_is_refused(row: Row, column: str):
    assert refused([rated_at("1", destination="+1"), row]) == [(2, "missing_required", column)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("item", "price"), ("rounding", "nearest"), ("rounding_stage", "invoice"), ("period", "year"), ("shared", "family"),
        ("first_increment_micros", 0), ("next_increment_micros", -1), ("next_increment_micros", 2**62), ("price_per", 0),
        ("chargeable_from_micros", -1), ("free_first_micros", -1), ("priced_at", "end"), ("slots", "60"), ("slots", "60: 1/0"), ("slots", "60: 1; 60: 2"), ("slots", "0: 1"), ("tax_micros", -1), ("tier_from_micros", -1), ("decimals", 7), ("decimals", -1), ("valid_to", LONG_AGO),
        ("origin", "0x1"), ("origin", "1234567890123456"), ("origin", "00"), ("destination", "0x1"), ("destination", "1234567890123456"), ("weekdays", "0-5"), ("weekdays", "Mon"), ("from_time", "8:00 am"),
        ("from_time", "24:30"), ("to_time", "25:00"), ("timezone", "Mars/Phobos"), ("timezone", "Factory"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(column: str, value: object):
    assert refused([rated_at("1") | {column: value}]) == [(1, "value_out_of_range", column)]


def test_a_band_begins_on_a_whole_minute_and_an_exchange_costs_something():
    odd, nothing = band("x", valid_to=at("2025-06-01 00:00:30")), exchange("0")
    assert refused([odd, nothing]) == [(1, "value_out_of_range", "valid_from"), (2, "value_out_of_range", "price_micros")]


def ported(number: str | None, rated_as: str | None, **more: object) -> Row:
    return {"item": "ported", "destination": number, "rated_as": rated_as, "valid_from": LONG_AGO, **more}


def test_a_ported_number_has_a_number_as_which_it_is_rated():
    rows = [ported(None, "49176"), ported("491511000001", None), ported("491511000001", "x1"), rated_at("1", rated_as="49176")]
    assert refused(rows) == [
        (1, "missing_required", "destination"), (2, "missing_required", "rated_as"), (3, "value_out_of_range", "rated_as"),
        (4, "value_out_of_range", "rated_as"),
    ]  # fmt: skip


def test_a_number_is_ported_once_at_a_time():
    first, again = ported("491511000001", "49176"), ported("+49 151 1000001", "49177")
    assert refused([first, again]) == [(2, "repeated_key", "destination, valid_from")]
    assert refused([first, again | {"valid_from": JUNE}]) == []
    assert refused([first | {"valid_to": JUNE}, again | {"valid_from": JULY}]) == [], "between them it is back at its network"
    assert refused([first | {"valid_to": JULY}, again | {"valid_from": JUNE}]) == [(1, "overlapping_validity", "valid_to")]


@pytest.mark.parametrize("moment", ["2025-10-02 22:00", "2025-10-03 05:00", "2025-10-03 00:01"])
def test_a_holiday_that_is_not_its_date_at_midnight_of_utc_is_refused(moment: str):
    """Midnight of Berlin is on the UTC day before, and the price of that day would be the price of the holiday."""
    assert refused([holiday("2025-10-03", "DE"), holiday(moment, "DE")]) == [(2, "value_out_of_range", "valid_from")]


@pytest.mark.parametrize("row", [band("x"), holiday("2025-10-03"), free("A", 100), exchange("1.25")])
def test_a_term_of_rates_is_refused_in_another_item(row: Row):
    assert refused([row | {"origin": "44"}]) == [(1, "value_out_of_range", "origin")]
    for column in ("maximum_micros", "chargeable_from_micros", "free_first_micros"):
        assert refused([row | {column: 1}]) == [(1, "value_out_of_range", column)]
    assert refused([row | {"priced_at": "start"}]) == [(1, "value_out_of_range", "priced_at")]


def test_a_maximum_is_refused_if_it_is_negative_or_below_the_minimum():
    rows = [rated_at("1", minimum_micros=-2, maximum_micros=-1), rated_at("1", plan="P", minimum_micros=2, maximum_micros=1)]
    assert refused(rows) == [(1, "value_out_of_range", "maximum_micros"), (2, "value_out_of_range", "maximum_micros")]
    assert refused([rated_at("1", minimum_micros=2, maximum_micros=2)]) == []


def test_prices_per_numbers_without_a_common_multiple_are_refused_from_the_first_that_is_too_much():
    primes = (10**9 + 7, 10**9 + 9, 60)
    rows = [rated_at("1", per=per, destination=str(i)) for i, per in enumerate(primes)]
    assert refused(rows) == [(2, "value_out_of_range", "price_per")]


def test_a_repeated_key_in_one_unit_is_refused_but_may_correct_a_known_row():
    rows = [rated_at("1", destination="+49"), rated_at("2", destination="49")]
    assert refused(rows) == [
        (2, "repeated_key", "plan, service, direction, zone, trunk, destination, origin, band, tier_from_micros, valid_from")
    ]
    assert refused(rows[:1], rows[1:]) == []
    others = [rated_at("1", plan="P"), rated_at("1", valid_from=JUNE), rated_at("1", origin="49"), rated_at("1", origin="4")]
    assert refused([rated_at("1"), *others]) == []


def test_a_refused_row_does_not_count_as_the_first_of_its_key():
    assert refused([rated_at("1") | {"decimals": 9}, rated_at("1")]) == [(1, "value_out_of_range", "decimals")]


def test_a_version_that_ends_after_the_next_begins_overlaps():
    assert refused([rated_at("1", valid_to=JULY), rated_at("2", valid_from=JUNE)]) == [(1, "overlapping_validity", "valid_to")]
    assert refused([rated_at("2", valid_from=JUNE)], [rated_at("1", valid_to=JULY)]) == [(1, "overlapping_validity", "valid_to")]
    corrected = [rated_at("1", valid_to=JUNE), rated_at("2", valid_from=JUNE)]
    assert refused(corrected, [rated_at("1", valid_to=JULY)]) == []


def test_a_version_that_ends_before_the_next_begins_leaves_a_gap():
    assert refused([rated_at("1", valid_to=JUNE), rated_at("2", valid_from=JULY)]) == [(1, "gapped_validity", "valid_to")]
    assert refused([rated_at("2", valid_from=JULY)], [rated_at("1", valid_to=JUNE)]) == [(1, "gapped_validity", "valid_to")]
    assert refused([rated_at("3", valid_from=MARCH, valid_to=JUNE)], [rated_at("2", valid_from=JULY)]) == [
        (1, "gapped_validity", "valid_to")
    ]


def test_a_referenced_item_must_be_known_or_in_the_same_unit():
    assert refused([rated_at("1", band="night")]) == [(1, "unknown_reference", "band")]
    assert refused([rated_at("1", band="night"), band("night")]) == []
    assert refused([rated_at("1", band="night")], [band("night")]) == []
    assert refused([free("A", 1, plan="P")]) == [(1, "unknown_reference", "plan")]
    assert refused([free("A", 1, plan="P"), rated_at("1", plan="P")]) == []
    assert refused([band("n", calendar="DE")]) == [(1, "unknown_reference", "calendar")]
    assert refused([band("n", weekdays="hol")]) == [(1, "unknown_reference", "calendar")]
    assert refused([band("n", weekdays="hol"), holiday("2025-10-03")]) == []
    assert refused([rated_at("1", tier_from_micros=5)]) == [(1, "unknown_reference", "tier_from_micros")]


def test_no_row_may_reference_a_refused_row():
    rows = [rated_at("1", plan="P", band="night"), band("night", calendar="DE"), free("A", 1, plan="P")]
    assert [(row, column) for row, _, column in refused(rows)] == [(1, "band"), (2, "calendar"), (3, "plan")]


def test_the_mark_of_an_international_number_alone_is_not_a_destination():
    assert refused([rated_at("1", destination="00")]) == [(1, "value_out_of_range", "destination")]
    assert refused([rated_at("1", destination="0049"), rated_at("1", destination="+1 234", price_per=1)]) == []


def test_an_allowance_of_a_billing_cycle_is_of_one_subscriber():
    own, of_account = free("A", 100, period="cycle"), free("B", 100, period="cycle", shared="account")
    assert refused([own, of_account]) == [(2, "value_out_of_range", "period")]
