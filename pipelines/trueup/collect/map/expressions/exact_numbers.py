"""Exact fractions, column by column, with numerators and denominators of any size, so that nothing overflows or is rounded.

Columns are 64-bit integers while no result can exceed 64 bits; otherwise they are Python integers. The choice between the two
affects only the speed of a column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trueup.collect.decode.text.lines import Mask
from trueup.collect.map.decimals import INT64_MAX

Whole = npt.NDArray[Any]
"""Whole numbers as 64-bit integers or as Python's; of one row where all rows are equal."""

MOST_DIGITS = 38
"""Digits that a number of a source may have before its decimal point, and after it."""
_PLAIN = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)$"
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?$"
_SHORT = 18
_LONGEST = 2 * MOST_DIGITS + 8


@dataclass(frozen=True)
class Fractions:
    """Fractions, row by row; every denominator is positive."""

    numerator: Whole
    denominator: Whole

    @classmethod
    def of(cls, number: int, denominator: int = 1) -> Fractions:
        """Return one number for all rows."""
        return cls(_narrow(np.array([number], object)), _narrow(np.array([denominator], object)))

    def __add__(self, other: Fractions) -> Fractions:
        if self.denominator is other.denominator or _is_same(self.denominator, other.denominator):
            return Fractions(_add(self.numerator, other.numerator), self.denominator)
        numerator = _add(_multiply(self.numerator, other.denominator), _multiply(other.numerator, self.denominator))
        return Fractions(numerator, _multiply(self.denominator, other.denominator))

    def __neg__(self) -> Fractions:
        return Fractions(_multiply(self.numerator, np.array([-1])), self.denominator)

    def __sub__(self, other: Fractions) -> Fractions:
        return self + -other

    def __mul__(self, other: Fractions) -> Fractions:
        return Fractions(_multiply(self.numerator, other.numerator), _multiply(self.denominator, other.denominator))

    def __truediv__(self, other: Fractions) -> Fractions:
        """Return the quotient; no row of `other` is 0."""
        divisor, sign = other.numerator, np.where(other.numerator < 0, -1, 1)
        numerator = _multiply(_multiply(self.numerator, other.denominator), sign)
        denominator = _multiply(_multiply(self.denominator, divisor), sign)
        common = np.gcd(numerator, denominator)
        return Fractions(numerator // common, denominator // common)

    def __abs__(self) -> Fractions:
        return Fractions(_multiply(self.numerator, np.where(self.numerator < 0, -1, 1)), self.denominator)

    def sign(self) -> Whole:
        """Return -1, 0 or 1."""
        return np.asarray((self.numerator > 0).astype(np.int8) - (self.numerator < 0).astype(np.int8))

    def floor(self) -> Fractions:
        """Return the greatest whole number that is not above."""
        return Fractions(self.numerator // self.denominator, np.array([1]))

    def rounded(self, decimals: int) -> Fractions:
        """Return the nearest number with `decimals` decimal places; halves are rounded away from zero."""
        scale = Fractions.of(10**decimals)
        away = (abs(self) * scale + Fractions.of(1, 2)).floor()
        return away * Fractions(np.where(self.numerator < 0, -1, 1), np.array([1])) / scale

    def where(self, chosen: Mask, other: Fractions) -> Fractions:
        """Return these numbers in the chosen rows, and the numbers of `other` in the remaining rows."""
        return Fractions(
            np.where(chosen, self.numerator, other.numerator), np.where(chosen, self.denominator, other.denominator)
        )  # fmt: skip


def read_fractions(texts: pl.Series) -> tuple[Fractions, Mask, Mask]:
    """Return plain decimals as fractions, a mask of texts that are not numbers, and a mask of those with too many digits."""
    text = texts.str.strip_chars(" \t")
    present = text.is_not_null().to_numpy()
    is_short = (text.str.contains(_PLAIN) & (text.str.len_bytes() <= _SHORT)).fill_null(False).to_numpy()
    none = np.zeros(len(text), np.bool_)
    if bool((is_short | ~present).all()):
        return _read_short(text), none, none
    is_number = text.str.contains(_NUMBER).fill_null(False).to_numpy()
    numerators, denominators = np.zeros(len(text), object), np.ones(len(text), object)
    too_long = none.copy()
    for row in np.flatnonzero(is_number):
        ratio = _parse_ratio(text[int(row)])
        too_long[row] = ratio is None
        numerators[row], denominators[row] = ratio or (0, 1)
    return Fractions(_narrow(numerators), _narrow(denominators)), present & ~is_number, too_long


def _read_short(text: pl.Series) -> Fractions:
    point = text.str.find(".", literal=True)
    digits = text.str.replace(".", "", literal=True).str.strip_prefix("+").cast(pl.Int64).fill_null(0).to_numpy()
    decimals = (text.str.len_bytes().cast(pl.Int64) - point.cast(pl.Int64) - 1).fill_null(0).to_numpy()
    most = int(decimals.max(initial=0))
    factors = np.array([10 ** (most - places) for places in range(most + 1)])
    return Fractions(_multiply(digits, factors[decimals]) if most else digits, np.array([10**most]))


def _parse_ratio(text: str) -> tuple[int, int] | None:
    """Return a number as numerator and denominator, None where it has too many digits."""
    if len(text) > _LONGEST:
        return None
    _, digits, exponent = (number := Decimal(text)).as_tuple()
    if not isinstance(exponent, int) or len(digits) + exponent > MOST_DIGITS or -exponent > MOST_DIGITS:
        return (0, 1) if not number else None
    return number.as_integer_ratio()


def decimal_texts(numbers: Fractions, rows: int) -> tuple[pl.Series, Mask]:
    """Return numbers as plain decimals, and which rows have none because their decimals never end (a third)."""
    numerators, denominators = (np.broadcast_to(part, rows) for part in (numbers.numerator, numbers.denominator))
    if (numbers.denominator == 1).all():
        return _format_whole(numerators), np.zeros(rows, np.bool_)
    places = _count_common_places(numbers)
    if places is not None:
        return _format_places(numerators, places), np.zeros(rows, np.bool_)
    texts = [_format_decimal(int(top), int(bottom)) for top, bottom in zip(numerators.tolist(), denominators.tolist(), strict=True)]
    series = pl.Series(texts, dtype=pl.String)
    return series, series.is_null().to_numpy()


def _format_whole(numerators: Whole) -> pl.Series:
    if numerators.dtype == object:
        return pl.Series([str(number) for number in numerators], dtype=pl.String)
    return pl.Series(np.ascontiguousarray(numerators)).cast(pl.String)


def _count_common_places(numbers: Fractions) -> int | None:
    """Return the decimals of 64-bit numbers over one power of ten; None for all others."""
    first = int(numbers.denominator[0]) if len(numbers.denominator) else 1
    places = len(str(first)) - 1
    is_one = numbers.numerator.dtype == np.int64 and 10**places == first and places <= _SHORT
    return places if is_one and bool((numbers.denominator == first).all()) else None


def _format_places(numerators: Whole, places: int) -> pl.Series:
    """Return numerators over a power of ten as plain decimals, with no more decimals than each needs."""
    size = pl.col("numerator").abs()
    fraction = (size % 10**places).cast(pl.String).str.zfill(places).str.strip_chars_end("0")
    point = pl.when(fraction == "").then(pl.lit("")).otherwise(pl.lit("."))
    sign = pl.when(pl.col("numerator") < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    frame = pl.DataFrame({"numerator": np.ascontiguousarray(numerators)})
    return frame.select(text=pl.concat_str(sign, (size // 10**places).cast(pl.String), point, fraction)).to_series()


def _format_decimal(numerator: int, denominator: int) -> str | None:
    whole, rest = divmod(abs(numerator), denominator)
    sign = "-" if numerator < 0 else ""
    if not rest:
        return f"{sign}{whole}"
    fraction = denominator // math.gcd(rest, denominator)
    twos, fives = _count_divisions(fraction, 2), _count_divisions(fraction, 5)
    places = max(twos, fives)
    if fraction != 2**twos * 5**fives:
        return None
    return f"{sign}{whole}.{rest * 10**places // denominator:0{places}}"


def _count_divisions(number: int, by: int) -> int:
    times = 0
    while number % by == 0:
        number, times = number // by, times + 1
    return times


# --- whole numbers that never wrap ------------------------------------------------------------------------------------


def _find_most(numbers: Whole) -> int:
    return max(int(numbers.max(initial=0)), -int(numbers.min(initial=0)))


def _is_same(one: Whole, other: Whole) -> bool:
    return len(one) == len(other) == 1 and bool(one[0] == other[0])


def _add(one: Whole, other: Whole) -> Whole:
    fits = _find_most(one) + _find_most(other) <= INT64_MAX
    return np.asarray(one + other if fits else one.astype(object) + other.astype(object))


def _multiply(one: Whole, other: Whole) -> Whole:
    fits = _find_most(one) * _find_most(other) <= INT64_MAX
    return np.asarray(one * other if fits else one.astype(object) * other.astype(object))


def _narrow(numbers: Whole) -> Whole:
    return numbers.astype(np.int64) if _find_most(numbers) <= INT64_MAX else numbers


def compare(one: Fractions, other: Fractions) -> Whole:
    """Return the sign of `one` − `other`: -1, 0 or 1."""
    return (one - other).sign()
