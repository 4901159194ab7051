"""Declared notations: numbers, durations, times and texts as exports and spreadsheets write them."""

from __future__ import annotations

import doctest
from decimal import Decimal
from importlib import import_module

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.map.notation import plain_numbers, plain_seconds
from trueup.collect.map.texts import clean_texts, repair_numbers
from trueup.collect.map.times import utc_times_of_days
from trueup.config import NotationConfig, parse
from trueup.errors import ConfigError
from trueup.party_numbers import international_digits

NONE = "?"


@pytest.mark.parametrize("module", ["collect.map.notation", "collect.map.texts", "party_numbers"])
def test_the_examples_of_a_module_give_the_results_they_show(module: str) -> None:
    result = doctest.testmod(import_module(f"trueup.{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)


NUMBERS = [
    (NotationConfig(decimal=","), {"12,00": "12.00", "1000": "1000", ",5": "0.5", "5,": "5", "-1,5": "-1.5", "+1": "1"}),
    (NotationConfig(decimal=","), {"1.000": NONE, "1.5": NONE, "1,0,0": NONE, "": NONE, ",": NONE, "1e3": NONE, "--1": NONE}),
    (NotationConfig(decimal=",", grouping="."), {"1.000": "1000", "1.234.567,89": "1234567.89", "1000,5": "1000.5"}),
    (NotationConfig(decimal=",", grouping="."), {"1.00": NONE, "1.0000": NONE, "1000.000": NONE, ".000": NONE, "1,234.5": NONE}),
    (NotationConfig(grouping=","), {"1,000": "1000", "1,000.5": "1000.5", "12,00": NONE, "1.000": "1.000"}),
    (NotationConfig(grouping=" "), {"1 000": "1000", "1\u00a0000": "1000", "1\u202f000.5": "1000.5", "1  000": NONE}),
    (NotationConfig(grouping="'"), {"1'000": "1000", "1\u2019000.5": "1000.5"}),
    (NotationConfig(negative="trailing"), {"12.00-": "-12.00", "-12": "-12", "-12-": NONE, "12 -": NONE, "(12)": NONE}),
    (NotationConfig(negative="parentheses"), {"(12.00)": "-12.00", "-12": "-12", "(-12)": NONE, "(12": NONE, "12-": NONE}),
    (NotationConfig(currency=("€", "EUR")), {"€ 12": "12", "12 €": "12", "-€12": "-12", "€-12": "-12", "EUR12": "12", "$12": NONE}),
    (NotationConfig(percent=True), {"19 %": "19e-2", "-5.5%": "-5.5e-2", "19": NONE}),
    (NotationConfig(), {"\u22125": "-5", "\u0661": NONE}),
]


@pytest.mark.parametrize(
    ("notation", "text", "plain"), [(notation, text, plain) for notation, texts in NUMBERS for text, plain in texts.items()]
)
def test_a_number_is_read_in_its_notation_and_refused_in_any_other(notation: NotationConfig, text: str, plain: str) -> None:
    assert plain_numbers(pl.Series([text, None]), notation).to_list() == [plain, None]


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12),
    decimal=st.sampled_from(".,"), grouping=st.sampled_from(["", ".", ",", " ", "'"]),
    negative=st.sampled_from(["leading", "trailing", "parentheses"]), is_written_in_front=st.booleans(),
)  # fmt: skip
def test_a_number_written_in_a_notation_is_read_back_exactly(
    number: Decimal, decimal: str, grouping: str, negative: str, is_written_in_front: bool
) -> None:
    if decimal == grouping:
        return
    notation = NotationConfig(decimal=decimal, grouping=grouping, negative=negative, currency=("kr",))  # type: ignore[arg-type]
    text = f"{abs(number):,.3f}".translate(str.maketrans({",": grouping, ".": decimal}))
    text = f"kr {text}" if is_written_in_front else f"{text} kr"
    if number < 0:
        text = {"leading": f"-{text}", "trailing": f"{text}-", "parentheses": f"({text})"}[negative]
    (plain,) = plain_numbers(pl.Series([text]), notation)
    assert Decimal(plain) == number


CLOCKS = [
    ("h:m:s", {"00:08:10": "490", "100:00:00": "360000", "0:00:00.25": "0.25", "00:60:00": NONE, "08:10": NONE, "": NONE}),
    ("m:s", {"08:10": "490", "90:00": "5400", "8:60": NONE, "1:08:10": NONE}),
    ("h:m", {"08:10": "29400", "8:10": "29400", "8:1": NONE}),
    ("units", {"8m10s": "490", "1h 2m": "3720", "2 min": "120", "10 sec": "10", "1.5s": "1.5", "h": NONE, "10": NONE, "-1s": NONE}),
    ("units", {"9" * 16 + "h": NONE}),
]


@pytest.mark.parametrize(("clock", "text", "seconds"), [(clock, *pair) for clock, texts in CLOCKS for pair in texts.items()])
def test_a_duration_is_read_in_its_notation_and_refused_in_any_other(clock: str, text: str, seconds: str) -> None:
    assert plain_seconds(pl.Series([text]), clock).to_list() == [seconds]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("notation = { decimal = ',', grouping = ',' }", "`decimal` and `grouping` are both ','"),
        ("notation = { currency = ['1'] }", "'1' is no sign or code of a currency"),
        ("notation = { marks = ',' }", "marks"),
    ],
)
def test_a_notation_that_contradicts_itself_is_refused(settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(f"[[source]]\nname='s'\nstream='charge'\npath='x'\n{settings}\ncolumns = {{ record_key = 'k', amount = 'a' }}")


def test_midnight_may_be_written_as_the_end_of_the_day_before() -> None:
    def times(text: str, time_format: str = "iso", zone: str = "UTC") -> list[str]:
        found = utc_times_of_days(pl.Series([text]), time_format=time_format, zone=zone, ambiguous="quarantine")
        return [str(time)[:19] for time in found.to_list()]

    assert times("2024-05-01 24:00:00") == times("2024-05-01T24:00") == ["2024-05-02 00:00:00"]
    assert times("01.05.2024 24:00:00", "%d.%m.%Y %H:%M:%S", "Europe/Berlin") == ["2024-05-01 22:00:00"]
    # The day of the change to summer time has 23 hours.
    assert times("2024-03-31 24:00:00", zone="Europe/Berlin") == ["2024-03-31 22:00:00"]
    assert times("2024-05-01 24:00:00+02:00") == ["2024-05-01 22:00:00"]
    assert times("2024-05-01 24:00:01") == times("2024-05-01 24:01") == ["None"]


def test_texts_have_one_form_without_outer_blanks() -> None:
    frame = pl.DataFrame({"key": ["p1 ", "\tp1", "\u00a0p1\u3000", '="p1"', "", "   ", None, "p 1"], "n": list(range(8))})
    assert clean_texts(frame)["key"].to_list() == ["p1", "p1", "p1", "p1", "", None, None, "p 1"]


@pytest.mark.parametrize(
    ("text", "repaired", "is_lost"),
    [
        ("4.91511E+11", "4.91511E+11", True), ("4,91511E+11", "4,91511E+11", True), ("4.91511000001E+11", "491511000001", False),
        ("4E+11", "4E+11", True), ("1.2345678901234567E+16", "1.2345678901234567E+16", True), ("491511000001.0", "491511000001", False),
        ("+491511000001.0", "+491511000001", False), ("491511000001.5", "491511000001.5", False), ("12E10", "12E10", False),
        ("A4.9E+11", "A4.9E+11", False),
    ],
)  # fmt: skip
def test_a_number_from_a_spreadsheet_is_repaired_or_marked_as_having_lost_digits(text: str, repaired: str, is_lost: bool) -> None:
    found = repair_numbers(pl.Series([text, None]), has_decimals=False)
    assert (found.texts.to_list(), found.is_lost.to_list()) == ([repaired, None], [is_lost, False])


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("+12345550000", "12345550000"), ("0012345550000", "12345550000"), ("+1 (234) 555-0000", "12345550000"),
        ("tel:+1-234-555-0000", "12345550000"), ("sip:+12345550000@carrier.example;user=phone", "12345550000"),
        ("+49 (0)30 123", "4930123"), ("0049 (0) 30 123", "4930123"), ("030 123", "030123"), ("alice", "alice"),
        ("sip:alice@pbx.example", "sip:alice@pbx.example"), ("*60", "*60"), ("00", "00"), ("+", "+"), ("", ""),
    ],
)  # fmt: skip
def test_a_party_number_has_one_form_however_it_is_written(written: str, digits: str) -> None:
    assert pl.select(international_digits(pl.lit(written))).item() == digits
