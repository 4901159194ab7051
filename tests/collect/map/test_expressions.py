"""Expressions of a mapping: exact numbers, texts and choices, and records that have no value."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.collect.map.expressions.exact_numbers import decimal_texts, read_fractions
from trueup.collect.map.expressions.syntax import parse
from trueup.collect.map.expressions.values import NO_NUMBER, TOO_LARGE, UNCOMPUTABLE, Records, text_of
from trueup.config import NotationConfig
from trueup.errors import ConfigError

GERMAN = NotationConfig(decimal=",", grouping=".")
_FAILED = {NO_NUMBER: "no number", TOO_LARGE: "too large", UNCOMPUTABLE: "uncomputable"}


def value_of(expression: str, notation: NotationConfig = NotationConfig(), **fields: str | None) -> str | None:  # noqa: B008
    """Return the value of an expression for one record as text; without a value, return the reason in angle brackets."""
    frame = pl.DataFrame(fields, schema=dict.fromkeys(fields, pl.String))
    value = text_of(parse(expression, where="here").evaluate(Records(frame, 1, {}, notation)), 1)
    return f"<{_FAILED[int(value.error[0])]}>" if value.error[0] else value.texts[0]


@pytest.mark.parametrize(
    ("expression", "a", "b", "value"),
    [
        ("a + b", "1.5", "-.25", "1.25"), ("a - b", "1", "1.0", "0"), ("-a", "7", None, "-7"), ("a + 0.1", "0.2", None, "0.3"),
        ("4294967296 * a * b * 4", "4294967296", "4294967296", "316912650057057350374175801344"),
        ("a + 1", "9223372036854775807", None, "9223372036854775808"), ("a * b", "99999999999999999999", "1e-3", "99999999999999999.999"),
        ("a / b", "1", "8", "0.125"), ("a / b", "-1", "-8", "0.125"), ("a / b", "1", "3", "<uncomputable>"), ("a / b * 3", "1", "3", "1"),
        ("a / b", "1", "0", "<uncomputable>"), ("a / b", "1", None, None), ("a / b", None, "0", None),
        ("ROUND(a / b, 2)", "2", "3", "0.67"), ("ROUND(a, 1)", "0.25", None, "0.3"), ("ROUND(a, 1)", "-0.25", None, "-0.3"),
        ("ROUND(a)", "2.5", None, "3"), ("FLOOR(a)", "-1.5", None, "-2"), ("CEIL(a)", "-1.5", None, "-1"), ("ABS(a)", "-1.5", None, "1.5"),
        ("a + b", "1", "x", "<no number>"), ("a + b", "1", "", "<no number>"), ("a + b", "1", None, None), ("a + b", "1", "1_0", "<no number>"),
        ("a + 0", "9" * 38, None, "9" * 38), ("a + 0", "9" * 39, None, "<too large>"), ("a + 0", "1e-39", None, "<too large>"),
        ("a + 0", "1e9999", None, "<too large>"), ("a + 0", "0e9999", None, "0"),
        ("CAST(a AS DECIMAL(4, 2))", "12.34", None, "12.34"), ("CAST(a AS DECIMAL(4, 2))", "123", None, "<too large>"),
        ("CAST(a AS DECIMAL(4, 2))", "1.234", None, "<too large>"), ("CAST(a AS BIGINT)", "1.5", None, "<too large>"),
        ("TRY_CAST(a AS BIGINT)", "x", None, None), ("TRY_CAST(1 / a AS BIGINT)", "0", None, "<uncomputable>"),
        ("CAST(a + 1 AS VARCHAR) || b", "1.50", "s", "2.5s"),
    ],
)  # fmt: skip
def test_numbers_are_exact_or_have_no_value(expression: str, a: str, b: str | None, value: str | None) -> None:
    assert value_of(expression, a=a, b=b) == value


@pytest.mark.parametrize(
    ("expression", "a", "b", "value"),
    [
        ("SUBSTR(a, 3)", "0049151", None, "49151"), ("SUBSTRING(a FROM 2 FOR 2)", "éüöä", None, "üö"), ("LEFT(a, 2)", "49151", None, "49"),
        ("RIGHT(a, 2)", "49151", None, "51"), ("SPLIT_PART(a, '@', 1)", "x@y", None, "x"), ("SPLIT_PART(a, '@', 3)", "x@y", None, ""),
        ("SPLIT_PART(a, '@', 1)", None, None, None), ("UPPER(a) || LOWER(b)", "x", "Y", "Xy"), ("a || b", "x", None, None),
        ("CONCAT(a, '-', b)", "x", None, "x-"), ("REPLACE(a, '.', '')", "1.2.3", None, "123"), ("TRIM(a)", " x ", None, "x"),
        ("LTRIM(a, '0')", "0012", None, "12"), ("RTRIM(a, 'x')", "1xx", None, "1"), ("LENGTH(a)", "éü", None, "2"),
        ("CASE a WHEN 'x' THEN 'out' ELSE 'in' END", "x", None, "out"), ("CASE a WHEN 'x' THEN 'out' END", "y", None, None),
        ("CASE WHEN a > 5 THEN 'long' ELSE 'short' END", "10", None, "long"), ("CASE WHEN b = 'x' THEN a / 0 ELSE a END", "1", "y", "1"),
        ("CASE WHEN a > 5 THEN 'long' ELSE 'short' END", "x", None, "<no number>"), ("COALESCE(b, a, 'z')", "x", None, "x"),
        ("COALESCE(b, 0) + a", "1", None, "1"), ("NULLIF(a, 'x')", "x", None, None), ("NULLIF(a, 'x')", "y", None, "y"),
        ("COALESCE(NULLIF(a, ''), b)", "", "z", "z"),
    ],
)  # fmt: skip
def test_texts_and_choices(expression: str, a: str | None, b: str | None, value: str | None) -> None:
    assert value_of(expression, a=a, b=b) == value


@pytest.mark.parametrize(
    ("condition", "a", "b", "value"),
    [
        ("a = 'x'", "x", None, "true"), ("a <> 'x'", None, None, None), ("a = 1", "1.0", None, "true"), ("a = '1'", "1.0", None, "false"),
        ("a > 9", "10", None, "true"), ("a BETWEEN 1 AND 2", "2", None, "true"), ("a NOT BETWEEN 1 AND 2", "2", None, "false"),
        ("a IN ('x', 'y')", "y", None, "true"), ("a NOT IN ('x', 'y')", "y", None, "false"), ("a IN (1, 2)", "2.0", None, "true"),
        ("a LIKE 'x%_'", "x.1", None, "true"), ("a LIKE '1.%'", "1x2", None, "false"), ("a NOT LIKE 'x%'", "y", None, "true"),
        ("a LIKE 'x y+%'", "x y+z", None, "true"), ("a IS NULL", None, None, "true"), ("a IS NOT NULL", None, None, "false"), ("a IS DISTINCT FROM b", None, "x", "true"),
        ("a IS NOT DISTINCT FROM b", None, None, "true"), ("NOT a = 'x'", "x", None, "false"), ("a >= '2024-01'", "2024-02", None, "true"),
        ("a = 'x' AND b > 1", "y", "?", "false"), ("a = 'x' OR b > 1", "x", "?", "true"), ("a = 'x' AND b > 1", "x", "?", "<no number>"),
        ("a = 'x' OR b = 'x'", None, "x", "true"), ("a = 'x' AND b = 'x'", None, "x", None), ("true AND a = 'x'", "x", None, "true"),
    ],
)  # fmt: skip
def test_conditions_follow_the_logic_of_three_values(condition: str, a: str | None, b: str | None, value: str | None) -> None:
    assert value_of(condition, a=a, b=b) == value


def test_a_number_is_read_in_the_notation_of_its_source() -> None:
    assert value_of("a + b", GERMAN, a="1.000", b="0,5") == "1000.5"
    assert value_of("a + b", GERMAN, a="1.00", b="1") == "<no number>"


@pytest.mark.parametrize(
    "expression", ["sum(a)", "a.b", "1 + 1", "a +", "a + '1'", "a % 2", "a ** 2", "CAST(a AS DOUBLE)", "getenv(a)", "a + (b = 'x')",
                   "SUBSTR(a, 0)", "SUBSTR(a, b)", "REPLACE(a, '', 'x')", "ROUND(a, 39)", "CASE WHEN a = 'x' THEN 1 ELSE a = 'y' END",
                   "a; SELECT 1", "a, b", "CONCAT()", "a IN (SELECT b)", "LOWER(a) OVER ()", "$1 || a", "a || " + "(" * 70 + "a" + " || 'x')" * 70],
)  # fmt: skip
def test_what_is_not_permitted_is_refused_when_the_configuration_is_read(expression: str) -> None:
    with pytest.raises(ConfigError):
        parse(expression, where="here")


# --- against Python's fractions ---------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20).map(str),
    st.sampled_from(
        ["0", "1", "-1", "0.5", "4294967296", "9223372036854775807", "-9223372036854775808", "9" * 38, "1e-38", "1.5E+3"]
    ),
)
TREES = st.recursive(
    st.sampled_from(["a", "b", "c", "3", "0.25", "18446744073709551616"]),
    lambda parts: st.one_of(
        st.tuples(st.sampled_from("+-*/"), parts, parts), st.tuples(st.sampled_from(["abs", "floor", "round"]), parts)
    ),
    max_leaves=6,
)
Tree = str | tuple[str, ...]


def write_tree(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    name, *parts = tree
    return f"({write_tree(parts[0])} {name} {write_tree(parts[1])})" if len(parts) == 2 else f"{name}({write_tree(parts[0])})"


def compute_tree(tree: Tree, fields: dict[str, Fraction]) -> Fraction:
    if isinstance(tree, str):
        return fields[tree] if tree in fields else Fraction(tree)
    name, *parts = tree
    one, *others = (compute_tree(part, fields) for part in parts)
    match name:
        case "+":
            return one + others[0]
        case "-":
            return one - others[0]
        case "*":
            return one * others[0]
        case "/":
            return one / others[0]
        case "abs":
            return abs(one)
        case "floor":
            return Fraction(one.numerator // one.denominator)
    half_away = abs(one) + Fraction(1, 2)
    return Fraction(half_away.numerator // half_away.denominator) * (-1 if one < 0 else 1)


def exact_text(number: Fraction) -> bool:
    rest = number.denominator
    while rest % 2 == 0 or rest % 5 == 0:
        rest //= 2 if rest % 2 == 0 else 5
    return rest == 1


@settings(max_examples=60)
@given(tree=TREES, rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_random_expressions_equal_pythons_fractions(tree: Tree, rows: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(rows, schema=["a", "b", "c"], orient="row")
    value = text_of(
        parse(f"{write_tree(tree)} + a * 0", where="here").evaluate(Records(frame, len(rows), {}, NotationConfig())), len(rows)
    )
    for row, text, error in zip(rows, value.texts, value.error, strict=True):
        try:
            expected = compute_tree(tree, {name: Fraction(number) for name, number in zip("abc", row, strict=True)})
        except ZeroDivisionError:
            assert error == UNCOMPUTABLE
            continue
        if exact_text(expected):
            assert (Fraction(text), int(error)) == (expected, 0)
        else:
            assert (text, int(error)) == (None, UNCOMPUTABLE)


@settings(max_examples=60)
@given(texts=st.lists(NUMBERS, min_size=1, max_size=6))
def test_a_number_is_read_and_written_exactly_next_to_any_other_number(texts: list[str]) -> None:
    numbers, no_number, too_long = read_fractions(pl.Series(texts))
    written_again, is_endless = decimal_texts(numbers, len(texts))
    assert not (no_number | too_long | is_endless).any()
    assert [Fraction(text) for text in written_again] == [Fraction(text) for text in texts]
