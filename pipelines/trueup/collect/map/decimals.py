"""Exact conversion of decimal text to integers of a fixed scale; no value passes through a float."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
_INT128_MAX = 2**127 - 1
_WIDEST = 38
"""Number of digits that always fit a 128-bit integer."""

_PLAIN = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)$"
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_SHORT = 18
"""Number of digits that always fit a 64-bit integer."""
_FAR = 40
"""A power of ten well beyond 64 bits."""

Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FixedPoint:
    """Integers converted from decimal texts, one per row.

    `value` is 0 where the text is missing, invalid, or too large. The masks `no_number` (invalid), `too_large` (beyond int64)
    and `rounded` (digits were lost, half to even) exclude each other.
    """

    value: Whole
    no_number: Mask
    too_large: Mask
    rounded: Mask


def fixed_point(text: pl.Series, *, power: int, multiplier: int = 1) -> FixedPoint:
    """Convert decimal texts to text × multiplier × 10^power, rounded half to even when digits are lost.

    Signs, a missing integer or fraction part and exponents (`1.5e-7`) are valid; blanks around the number are ignored.
    A missing text gives 0 and sets no mask. Conversion of amounts to micros uses power 6.
    """
    multiplier, zeros = _strip_zeros(multiplier)
    power += zeros
    text = text.str.strip_chars(" \t")
    out = _empty_result(len(text))
    is_present = text.is_not_null().to_numpy()
    is_plain = text.str.contains(_PLAIN).fill_null(False).to_numpy()
    is_short = is_plain & (text.str.len_bytes() <= _SHORT).fill_null(False).to_numpy()
    if is_short.all():
        short = _convert_short(text, power, multiplier)
        if not short.undecided.any():
            return FixedPoint(short.value, short.no_number, short.too_large, short.rounded)
    undecided = is_present & ~is_short
    undecided[
        _write_results(out, np.flatnonzero(is_short), _convert_short(text.filter(pl.Series(is_short)), power, multiplier))
    ] = True
    rows = np.flatnonzero(undecided)
    if rows.size:
        undecided = np.zeros(len(text), np.bool_)
        undecided[_write_results(out, rows, _convert_wide(text.gather(rows), power, multiplier))] = True
        for row in np.flatnonzero(undecided):
            _write_exact(out, int(row), str(text[int(row)]), power, multiplier)
    return out


def _empty_result(size: int) -> FixedPoint:
    return FixedPoint(np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.bool_), np.zeros(size, np.bool_))


# --- the common case: up to 18 characters, 64-bit arithmetic ----------------------------------------------------------


@dataclass(frozen=True)
class _RowResults:
    """Results for a subset of rows; `undecided` rows need wider arithmetic."""

    value: Whole
    no_number: Mask
    too_large: Mask
    rounded: Mask
    undecided: Mask


def _write_results(out: FixedPoint, rows: npt.NDArray[np.int64], results: _RowResults) -> npt.NDArray[np.int64]:
    out.value[rows], out.no_number[rows] = results.value, results.no_number
    out.too_large[rows], out.rounded[rows] = results.too_large, results.rounded
    return rows[results.undecided]


def _convert_short(text: pl.Series, power: int, multiplier: int) -> _RowResults:
    number, decimals = _extract_digits(text, pl.Int64)
    value = number.to_numpy()
    shift = power - decimals
    up = np.clip(shift, 0, None)
    limits = np.array([INT64_MAX // (multiplier * 10**s) for s in range(int(up.max(initial=0)) + 1)])
    size = np.abs(value)
    undecided = size > limits[up]
    factors = np.array([min(multiplier * 10**s, INT64_MAX) for s in range(len(limits))])
    value = np.where(undecided, 0, value) * factors[up]
    rounded = np.zeros(len(value), np.bool_)
    if (shift < 0).any():
        value, rounded = _round_half_even(value, np.clip(-shift, 0, _SHORT + 1))
    none = np.zeros(len(value), np.bool_)
    return _RowResults(value, none, none, rounded, undecided)


def _extract_digits(text: pl.Series, dtype: type[pl.Int64] | type[pl.Int128]) -> tuple[pl.Series, Whole]:
    """Return the digits of plain decimals as one integer, and the number of decimal places."""
    point = text.str.find(".", literal=True)
    bare = text.str.replace(".", "", literal=True).str.strip_prefix("+")
    number = bare.cast(dtype)
    decimals = (text.str.len_bytes().cast(pl.Int64) - point.cast(pl.Int64) - 1).fill_null(0)
    return number, decimals.to_numpy()


def _round_half_even(value: Whole, places: Whole) -> tuple[Whole, Mask]:
    """Round 64-bit numbers half to even by dropping `places` decimal places; more than 18 places drop all digits."""
    divisors = np.array([10 ** min(p, 18) for p in range(int(places.max(initial=0)) + 1)])[places]
    quotient, rest = np.divmod(value, divisors)
    twice = divisors - rest
    up = (rest > twice) | ((rest == twice) & (quotient & 1 == 1))
    beyond = places > _SHORT
    # A number of at most 18 digits is less than half of 10^19.
    quotient = np.where(beyond, 0, quotient + up)
    return quotient, (rest != 0) | (beyond & (value != 0))


# --- the wide case: up to 38 digits and an exponent, 128-bit arithmetic -----------------------------------------------


def _convert_wide(text: pl.Series, power: int, multiplier: int) -> _RowResults:
    no_number = ~text.str.contains(_NUMBER).to_numpy()
    mantissa = text.str.extract(r"^([^eE]*)")
    exponent = text.str.extract(r"[eE]\+?(-?[0-9]{1,4})$").cast(pl.Int64).fill_null(0).to_numpy()
    odd = text.str.contains(r"[eE]").to_numpy() & ~text.str.contains(r"[eE][+-]?[0-9]{1,4}$").to_numpy()
    is_parsable = mantissa.str.contains(_PLAIN).to_numpy() & ~odd & (mantissa.str.len_bytes() <= _WIDEST).to_numpy()
    number, decimals = _extract_digits(mantissa.set(pl.Series(~is_parsable), "0"), pl.Int128)
    shift = power + exponent - decimals
    value = np.zeros(len(text), np.int64)
    rounded, too_large, undecided = (np.zeros(len(text), np.bool_) for _ in range(3))
    for step in np.unique(shift[is_parsable & ~no_number]):
        rows = np.flatnonzero(is_parsable & ~no_number & (shift == step))
        value[rows], too_large[rows], rounded[rows], undecided[rows] = _shift_number(number.gather(rows), int(step), multiplier)
    undecided |= ~is_parsable & ~no_number
    return _RowResults(value, no_number, too_large, rounded, undecided)


def _shift_number(number: pl.Series, shift: int, multiplier: int) -> tuple[Any, Any, Any, Any]:
    """Compute number × multiplier × 10^shift for one shift: values, too large, rounded, undecided."""
    none = np.zeros(len(number), np.bool_)
    limit = INT64_MAX // (multiplier * 10**shift) if shift >= 0 else _INT128_MAX // multiplier
    if shift > _WIDEST or -shift > _WIDEST - 1:
        return none.astype(np.int64), none, none, ~none
    beyond = np.array((number > _widen(limit)) | (number < _widen(-limit)))
    if shift < 0 and beyond.any():
        return none.astype(np.int64), none, none, ~none
    product = number.set(pl.Series(beyond), 0) * _widen(multiplier * 10 ** max(shift, 0) if limit else 1)
    rounded = none
    if shift < 0:
        divisor = 10**-shift
        quotient = product // _widen(divisor)
        rest = product - quotient * _widen(divisor)
        half = _widen(divisor // 2)
        odd = (quotient - (quotient // _widen(2)) * _widen(2)) != _widen(0)
        product = quotient + ((rest > half) | ((rest == half) & odd)).cast(pl.Int128)
        rounded = (rest != _widen(0)).to_numpy()
    beyond |= ((product > _widen(INT64_MAX)) | (product < _widen(INT64_MIN))).to_numpy()
    # The smallest 64-bit integer has no positive counterpart, so the exact but slow conversion handles values at the limit.
    edge = beyond & (shift >= 0)
    value = product.set(pl.Series(beyond), 0).cast(pl.Int64).to_numpy()
    return value, beyond & ~edge, rounded & ~beyond, edge


def _widen(number: int) -> pl.Series:
    return pl.Series([number], dtype=pl.Int128)


def _strip_zeros(multiplier: int) -> tuple[int, int]:
    zeros = 0
    while multiplier % 10 == 0:
        multiplier, zeros = multiplier // 10, zeros + 1
    return multiplier, zeros


# --- the remaining rows, one by one: numbers of any length ------------------------------------------------------------


def _write_exact(out: FixedPoint, row: int, text: str, power: int, multiplier: int) -> None:
    """Convert one row whose text is a number; where the number does not fit, the decimal context sets flags instead of raising."""
    exact = Context(prec=10_000, Emax=10**9, Emin=-(10**9), traps=[])
    scaled = exact.scaleb(exact.create_decimal(text), power)
    if scaled.is_zero():
        out.rounded[row] = exact.flags[Inexact]
        return
    size = scaled.adjusted() if scaled.is_finite() else INT64_MAX
    if size > _FAR:
        out.too_large[row] = True
        return
    if size < -2 * _FAR:
        out.rounded[row] = True
        return
    scaled = exact.multiply(scaled, Decimal(multiplier))
    whole = scaled.to_integral_value(ROUND_HALF_EVEN, exact)
    if not INT64_MIN <= whole <= INT64_MAX:
        out.too_large[row] = True
        return
    out.value[row], out.rounded[row] = int(whole), whole != scaled
