"""Compile row rules for ingest: an expectation about single rows becomes one Polars expression.

A rule of severity `quarantine` has one of the types listed here. Any other type is refused when the rules are loaded:
skipping it would accept the records that it was written to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from trueup.errors import ConfigError
from trueup.events.reasons import Reason
from trueup.events.schema import CORE
from trueup.quality.expectation import Expectation
from trueup.quality.patterns import common

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class RowRule:
    """A compiled expectation: `broken` is true where a row breaks it, false elsewhere, never missing."""

    expectation: Expectation
    broken: pl.Expr
    reason: Reason

    @property
    def rule(self) -> str:
        """The name of the rule in quarantine."""
        return self.expectation.rule


@dataclass(frozen=True)
class _Form:
    """How one type compiles: its arguments, the types of its columns, and the condition that a good row meets."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    dtypes: tuple[type[pl.DataType], ...]
    holds: Callable[[Arguments], pl.Expr]
    reason: Reason = "value_out_of_range"


_ANY = (pl.String, pl.Int64, pl.Boolean, pl.Datetime)
_ORDERED = (pl.Int64, pl.Datetime)
_SETS = (pl.String, pl.Int64)
_TEXT = (pl.String,)


def _column(a: Arguments) -> pl.Expr:
    return pl.col(a["column"])


def _accept_missing(a: Arguments, holds: pl.Expr) -> pl.Expr:
    """Accept a missing value, because another rule states whether a value is required."""
    return _column(a).is_null() | holds


def _between(a: Arguments, value: pl.Expr) -> pl.Expr:
    low, high = _bound(a.get("min_value")), _bound(a.get("max_value"))
    tests = [pl.lit(True)]
    if low is not None:
        tests.append(value > low if a.get("strict_min") else value >= low)
    if high is not None:
        tests.append(value < high if a.get("strict_max") else value <= high)
    return _accept_missing(a, pl.all_horizontal(tests))


def _bound(value: Any) -> Any:
    if isinstance(value, datetime):
        return pl.lit(value if value.tzinfo else value.replace(tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    return value


def _compare_pair(a: Arguments, compare: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> pl.Expr:
    first, second = pl.col(a["column_A"]), pl.col(a["column_B"])
    return first.is_null() | second.is_null() | compare(first, second)


def _greater(a: Arguments) -> pl.Expr:
    return _compare_pair(a, lambda x, y: x >= y if a.get("or_equal") else x > y)


_RANGE = ("min_value", "max_value", "strict_min", "strict_max")
_BOTH = ("column_A", "column_B", "ignore_row_if")

FORMS: dict[str, _Form] = {
    "expect_column_values_to_not_be_null": _Form(("column",), (), _ANY, lambda a: _column(a).is_not_null(), "missing_required"),
    "expect_column_values_to_be_null": _Form(("column",), (), _ANY, lambda a: _column(a).is_null()),
    "expect_column_values_to_be_between": _Form(("column",), _RANGE, _ORDERED, lambda a: _between(a, _column(a))),
    "expect_column_values_to_be_in_set": _Form(
        ("column", "value_set"), (), _SETS, lambda a: _accept_missing(a, _column(a).is_in(list(a["value_set"])))
    ),
    "expect_column_values_to_not_be_in_set": _Form(
        ("column", "value_set"), (), _SETS, lambda a: _accept_missing(a, ~_column(a).is_in(list(a["value_set"])))
    ),
    "expect_column_values_to_match_regex": _Form(
        ("column", "regex"), (), _TEXT, lambda a: _accept_missing(a, _column(a).str.contains(a["regex"]))
    ),
    "expect_column_values_to_not_match_regex": _Form(
        ("column", "regex"), (), _TEXT, lambda a: _accept_missing(a, ~_column(a).str.contains(a["regex"]))
    ),
    "expect_column_value_lengths_to_be_between": _Form(
        ("column",), _RANGE, _TEXT, lambda a: _between(a, _column(a).str.len_chars().cast(pl.Int64))
    ),
    "expect_column_value_lengths_to_equal": _Form(
        ("column", "value"), (), _TEXT, lambda a: _accept_missing(a, _column(a).str.len_chars().cast(pl.Int64) == a["value"])
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _Form(_BOTH, ("or_equal",), _ORDERED, _greater, "inconsistent"),
    "expect_column_pair_values_to_be_equal": _Form(
        _BOTH, (), _ANY, lambda a: _compare_pair(a, lambda x, y: x == y), "inconsistent"
    ),
}  # fmt: skip
"""The types that compile, by their names in Great Expectations."""


def row_rule(expectation: Expectation) -> RowRule:
    """Compile an expectation; raise `ConfigError` for a type, an argument or a column that does not compile."""
    where = f"expectation {expectation.name!r} of {expectation.stream}"
    form = FORMS.get(expectation.type)
    if form is None:
        raise ConfigError(
            f"{expectation.type} is not a row rule", where=where,
            todo=f"use one of {', '.join(sorted(FORMS))}, or the severity block, mark or note",
        )  # fmt: skip
    arguments = checked(expectation, form, where)
    compiled = RowRule(expectation, ~form.holds(arguments).fill_null(False), form.reason)
    _check_values(compiled, where)
    return compiled


def _check_values(compiled: RowRule, where: str) -> None:
    """Raise `ConfigError` for a value that cannot be compared with its column, before a record meets the rule."""
    expectation = compiled.expectation
    try:
        broken_rows([compiled], pl.DataFrame(schema=CORE[expectation.stream]))
    except pl.exceptions.PolarsError:
        columns = {name: CORE[expectation.stream][name] for name in _list_columns(expectation.arguments)}
        raise ConfigError(
            f"a value of {expectation.type} cannot be compared with {', '.join(f'{n} ({t})' for n, t in columns.items())}",
            where=where, todo="write whole numbers without quotes for numbers, times without quotes for times, and texts in quotes",
        ) from None  # fmt: skip


def _list_columns(arguments: Arguments) -> list[str]:
    return [str(arguments[name]) for name in ("column", "column_A", "column_B") if name in arguments]


def checked(expectation: Expectation, form: _Form, where: str) -> Arguments:
    """Return the arguments of a row rule, with its pattern written out; raise `ConfigError` for invalid ones."""
    arguments = dict(expectation.arguments)
    for name in form.required:
        if name not in arguments:
            raise ConfigError(f"{expectation.type} needs {name}", where=where)
    for name in arguments:
        if name not in (*form.required, *form.optional):
            raise ConfigError(f"{name} is not supported by the compiled {expectation.type}", where=where, todo="leave it out")
    if "column_A" in arguments and arguments["ignore_row_if"] != "either_value_is_missing":
        raise ConfigError("ignore_row_if must be either_value_is_missing", where=where, todo="require the values by another rule")
    _check_columns(expectation, form, _list_columns(arguments), where)
    if "regex" in arguments:
        arguments["regex"] = common(arguments["regex"], where=where)
    if "value_set" in arguments:
        _check_set(arguments["value_set"], where)
    return arguments


def _check_set(values: Any, where: str) -> None:
    # A text would count as the set of its letters.
    if isinstance(values, str) or not isinstance(values, Collection):
        raise ConfigError("value_set is not a list", where=where, todo='write a list: ["voice"]')
    if not values or any(value is None for value in values):
        raise ConfigError("value_set must hold values, and no missing one", where=where)


def _check_columns(expectation: Expectation, form: _Form, columns: Sequence[str], where: str) -> None:
    schema = CORE[expectation.stream]
    for name in columns:
        if name not in schema:
            raise ConfigError(f"{expectation.stream} has no column {name!r}", where=where, todo=f"it has {', '.join(schema)}")
        if not isinstance(schema[name], form.dtypes):
            raise ConfigError(f"{name} is of type {schema[name]}, which {expectation.type} cannot be about", where=where)
    if len(columns) == 2 and schema[columns[0]] != schema[columns[1]]:
        raise ConfigError(f"{columns[0]} and {columns[1]} are of different types", where=where)


def broken_rows(rules: Sequence[RowRule], rows: pl.DataFrame) -> pl.DataFrame:
    """Return one boolean column per rule, named by its number: true where a row breaks it."""
    return rows.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules))
