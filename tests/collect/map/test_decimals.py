from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.map.decimals import fixed_point

EXACT = Context(prec=2_000)
DIGITS = st.text("0123456789", max_size=45) | st.text("05", max_size=30)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    whole, fraction = draw(DIGITS), draw(st.none() | DIGITS)
    mantissa = whole if fraction is None else f"{whole}.{fraction}"
    if not any(character.isdigit() for character in mantissa):
        mantissa = f"0{mantissa}"
    exponent = draw(
        st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 90))
    )
    return draw(st.sampled_from(["", "-", "+"])) + mantissa + exponent


def expected(text: str, power: int, multiplier: int) -> tuple[int, bool] | None:
    exact = EXACT.multiply(EXACT.scaleb(EXACT.create_decimal(text), power), Decimal(multiplier))
    whole = int(exact.to_integral_value(ROUND_HALF_EVEN, EXACT))
    return (whole, whole != exact) if -(2**63) <= whole < 2**63 else None


@given(
    st.lists(numbers(), min_size=1, max_size=8),
    st.sampled_from([0, 3, 6]),
    st.sampled_from([1, 7, 60, 1_000, 1_048_576, 10**10, 10**30]),
)
def test_decimals_convert_exactly_as_in_decimal_arithmetic(texts: list[str], power: int, multiplier: int) -> None:
    found = fixed_point(pl.Series(texts), power=power, multiplier=multiplier)
    for row, text in enumerate(texts):
        wanted = expected(text, power, multiplier)
        got = None if found.too_large[row] else (int(found.value[row]), bool(found.rounded[row]))
        assert (got, bool(found.no_number[row])) == (wanted, False), text


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "Infinity", "1_0", "0x1", "1,5", ".", "-", "e5", "1e", "--1", "1 2", "٣", "1.2.3"]
)
def test_a_text_that_is_not_a_decimal_number_is_marked(text: str) -> None:
    found = fixed_point(pl.Series([text]), power=6)
    assert found.no_number.tolist() == [True]
    assert found.value.tolist() == [0]


def test_a_half_millionth_rounds_to_even_and_is_counted() -> None:
    found = fixed_point(pl.Series(["0.0000005", "0.0000015", "-0.0000025", "0.000001", " 12 ", None]), power=6)
    assert found.value.tolist() == [0, 2, -2, 1, 12_000_000, 0]
    assert found.rounded.tolist() == [True, True, True, False, False, False]
    assert not found.no_number.any()


def test_the_ends_of_64_bits_fit_and_the_next_millionth_does_not() -> None:
    texts = ["9223372036854.775807", "-9223372036854.775808", "9223372036854.775808", "-9223372036854.775809", "1e400"]
    found = fixed_point(pl.Series(texts), power=6)
    assert found.value.tolist()[:2] == [2**63 - 1, -(2**63)]
    assert found.too_large.tolist() == [False, False, True, True, True]


def test_sixteen_decimals_are_exact_in_a_fine_unit() -> None:
    found = fixed_point(pl.Series(["48.47023944990327", "3.4521318574003756"]), power=6, multiplier=10**10)
    assert found.value.tolist() == [484_702_394_499_032_700, 34_521_318_574_003_756]
    assert not found.rounded.any()
