"""The country and the cost of numbers, with and without the international mark."""

from __future__ import annotations

import polars as pl
import pytest

from trueup.fraud.features.numbering import number_facts

NUMBERS = ["4930123456", "23276123456", "449098790000", "999900123456"]
"""Numbers at home, in Sierra Leone, of premium rate in Britain, and of a premium prefix of the project."""


def facts(numbers: list[str], home: list[str], costly: list[str]) -> list[tuple[object, ...]]:
    shown = number_facts(pl.Series(numbers, dtype=pl.String), home=home, costly=costly)
    return shown.select("country", "is_abroad", "is_premium").rows()


@pytest.mark.parametrize("costly", ["999900", "+999900"])
def test_numbers_that_a_source_maps_to_digits_have_the_facts_of_numbers_with_the_mark(costly: str) -> None:
    marked = facts([f"+{number}" for number in NUMBERS], ["+49"], ["+999900"])
    assert marked[:3] == [("49", False, False), ("232", True, False), ("44", True, True)]
    assert marked[3][2]
    assert facts(NUMBERS, ["49"], [costly]) == marked
    assert facts([f"+{number}" for number in NUMBERS], ["49"], [costly]) == marked, "one source of two writes the mark"


@pytest.mark.parametrize("number", ["112", "22922", "116117", "0301234567", "pbx-44", "alice"])
def test_a_short_code_or_a_text_among_digits_has_no_country_and_is_domestic(number: str) -> None:
    assert facts([number], ["49"], []) == [(None, False, False)]


@pytest.mark.parametrize("home", [["+49"], []])
def test_digits_have_no_country_without_a_home_prefix_in_digits(home: list[str]) -> None:
    assert facts(NUMBERS, home, ["+999900"]) == [(None, False, False)] * 4
