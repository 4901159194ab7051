"""Values of expressions, column by column: numbers, texts or truth values, NULLs, and the reason where a record has no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.text.lines import Mask
from trueup.collect.map.expressions.exact_numbers import Fractions, decimal_texts, read_fractions
from trueup.collect.map.notation import plain_numbers
from trueup.config import NotationConfig
from trueup.events.reasons import Reason

Kind = Literal["number", "text", "truth", "null"]
Codes = npt.NDArray[np.uint8]
"""Codes of the reasons why records have no value; 0 where a record has a value or NULL."""

NO_NUMBER, TOO_LARGE, UNCOMPUTABLE = 1, 2, 3
FAILURES: dict[int, tuple[Reason, str]] = {
    NO_NUMBER: ("unparsable", "reads numbers only"),
    TOO_LARGE: ("value_out_of_range", "reads and casts to numbers that fit their digits"),
    UNCOMPUTABLE: ("uncomputable", "has an exact decimal value (no zero divisor, no endless quotient without ROUND)"),
}
"""Reason and rule of a record whose expression has no value, by code."""

_PLAIN = NotationConfig()


@dataclass(frozen=True)
class Value:
    """One value for each record: fractions, a series of texts, or truth values; NULL, or the reason for no value.

    Ignore the data of a record where `error` is not 0 or `is_null` is set.
    """

    data: Fractions | pl.Series | Mask
    is_null: Mask
    error: Codes

    @property
    def fractions(self) -> Fractions:
        """The data of a number."""
        assert isinstance(self.data, Fractions)
        return self.data

    @property
    def texts(self) -> pl.Series:
        """The data of a text."""
        assert isinstance(self.data, pl.Series)
        return self.data

    @property
    def holds(self) -> Mask:
        """Mask of the records whose truth value is true."""
        assert isinstance(self.data, np.ndarray)
        holds: Mask = self.data & ~self.is_null & (self.error == 0)
        return holds

    @property
    def fails(self) -> Mask:
        """Mask of the records whose truth value is false."""
        assert isinstance(self.data, np.ndarray)
        fails: Mask = ~self.data & ~self.is_null & (self.error == 0)
        return fails


@dataclass(frozen=True)
class Records:
    """Records whose expressions are evaluated: their fields, which of them the file types as numbers, and the notation.

    `version` is the version of the mapping, which decides how numbers in the notation are read.
    """

    fields: pl.DataFrame
    rows: int
    typed: Mapping[str, Mask]
    notation: NotationConfig
    version: int = 4

    @classmethod
    def of(cls, batch: Batch, notation: NotationConfig, version: int) -> Records:
        """Return the records of a batch."""
        return cls(batch.fields, batch.provenance.height, batch.typed, notation, version)

    def text(self, name: str) -> Value:
        """Return a source column as text; NULL in records that lack it."""
        if name not in self.fields.columns:
            return null_of("text", self.rows)
        return text_value(self.fields[name].cast(pl.String))

    def number(self, name: str) -> Value:
        """Return a source column as numbers in the source's notation; numbers that the file types are plain decimals."""
        if name not in self.fields.columns:
            return null_of("number", self.rows)
        return number_of(self.fields[name].cast(pl.String), self.notation, self.typed.get(name), self.version)


Evaluate = Callable[[Records], Value]


def none_of(rows: int) -> Mask:
    """Return a mask that is not set."""
    return np.zeros(rows, np.bool_)


def no_error(rows: int) -> Codes:
    """Return codes of records that all have a value."""
    return np.zeros(rows, np.uint8)


def null_of(kind: Kind, rows: int) -> Value:
    """Return NULL for all records."""
    all_rows = np.ones(rows, np.bool_)
    if kind == "number":
        return Value(Fractions.of(0), all_rows, no_error(rows))
    if kind == "truth":
        return Value(none_of(rows), all_rows, no_error(rows))
    return Value(pl.repeat(None, rows, dtype=pl.String, eager=True), all_rows, no_error(rows))


def text_value(texts: pl.Series, error: Codes | None = None) -> Value:
    """Return texts as a value."""
    return Value(texts, texts.is_null().to_numpy(), no_error(len(texts)) if error is None else error)


def number_of(texts: pl.Series, notation: NotationConfig, typed: Mask | None, version: int = 4) -> Value:
    """Return texts as numbers in a notation; values that the file types as numbers are plain decimals."""
    plain = texts
    if notation != _PLAIN:
        # Expressions read numbers as version 3 does, even under an earlier version.
        plain = plain_numbers(texts, notation, version=max(3, version))
        plain = plain if typed is None else plain.zip_with(~pl.Series(typed), texts)
    numbers, no_number, too_long = read_fractions(plain)
    error = np.where(no_number, NO_NUMBER, np.where(too_long, TOO_LARGE, 0)).astype(np.uint8)
    return Value(numbers, texts.is_null().to_numpy(), error)


def text_of(value: Value, rows: int) -> Value:
    """Return numbers or truth values as text: plain decimals, `true` and `false`."""
    if isinstance(value.data, pl.Series):
        return value
    if isinstance(value.data, Fractions):
        texts, is_endless = decimal_texts(value.data, rows)
        error = np.where((value.error == 0) & ~value.is_null & is_endless, UNCOMPUTABLE, value.error).astype(np.uint8)
    else:
        texts, error = (
            pl.select(pl.when(pl.Series(value.data)).then(pl.lit("true")).otherwise(pl.lit("false"))).to_series(),
            value.error,
        )
    return Value(texts.set(pl.Series(value.is_null | (error > 0)), None), value.is_null, error)


def all_of(values: Sequence[Value]) -> tuple[Mask, Codes]:
    """Return the mask of records with any NULL, and the first error of each record."""
    is_null = np.logical_or.reduce([value.is_null for value in values])
    return is_null, reduce(lambda first, error: np.where(first > 0, first, error), [value.error for value in values])


def select(choices: Sequence[tuple[Mask, Value]], kind: Kind, rows: int) -> Value:
    """Return, for each record, the value of the choice whose mask is set; NULL where no mask is set."""
    result = null_of(kind, rows)
    data, is_null, error = result.data, result.is_null, result.error
    for chosen, value in choices:
        is_null, error = np.where(chosen, value.is_null, is_null), np.where(chosen, value.error, error)
        if isinstance(data, Fractions):
            data = value.fractions.where(chosen, data)
        elif isinstance(data, pl.Series):
            data = value.texts.zip_with(pl.Series(chosen), data)
        else:
            data = np.where(chosen, np.asarray(value.data), np.asarray(data))
    return Value(data, is_null, error)


# --- truth: where the other side decides the result, a record without a value does not matter --------------------------


def conjunction(values: Sequence[Value]) -> Value:
    """Return AND: false where any is false, then an error, then NULL."""
    is_null, error = all_of(values)
    decided = np.logical_or.reduce([value.fails for value in values])
    return Value(~decided, is_null & ~decided, np.where(decided, 0, error).astype(np.uint8))


def disjunction(values: Sequence[Value]) -> Value:
    """Return OR: true where any is true, then an error, then NULL."""
    return negation(conjunction([negation(value) for value in values]))


def negation(value: Value) -> Value:
    """Return NOT."""
    return Value(~np.asarray(value.data), value.is_null, value.error)
