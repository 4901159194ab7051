"""Telephone numbers in the form of each mapping version. Event ids depend on the form, so a source keeps its version."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import polars as pl

from trueup.config import ColumnRule
from trueup.party_numbers import international_digits

_URI = r"^(?i:tel|sips?):([^@;?>]*).*$"
_TRUNK = r"^((?:\+|00)[0-9 \-./]*)\(0\)"
_NUMBER = r"^(?:\+|00)?[0-9 \-./()\x{a0}\x{202f}]+$"


def in_digits(text: pl.Series, rule: ColumnRule, version: int) -> pl.Series:
    """Return telephone numbers in digits with the calling code `e164` of their rule, in the form of a mapping version.

    A text that is not a telephone number is returned unchanged.
    """
    country = rule.e164 or ""
    if version == 1:
        return _normalise_as_version_1(text, country)
    if version == 2 and not rule.has_numbering:
        return _normalise_as_version_2(text, country)
    plain = _convert_digits(text) if version > 3 else text
    number = international_digits(pl.lit(plain), country, prefixes=rule.prefixes, national_digits=rule.national_digits)
    digits = pl.select(number).to_series().alias(text.name)
    if version > 3:
        # A calling code alone is not a telephone number, so a lone 0 stays unchanged.
        digits = digits.zip_with((plain.str.strip_chars() != "0").fill_null(True), plain)
    return digits.zip_with(digits.str.contains("^[0-9]+$").fill_null(True), text)


def _convert_digits(text: pl.Series) -> pl.Series:
    """Return texts with digits of other scripts replaced by 0 to 9; most feeds have no such digits."""
    if text.str.len_bytes().sum() == text.str.len_chars().sum():
        return text
    return text.str.replace_many(_list_other_digits())


@cache
def _list_other_digits() -> dict[str, str]:
    """Return the digits of other scripts with their values, and the full-width plus sign."""
    digits = (chr(code) for code in range(128, sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Nd")
    return {"\uff0b": "+"} | {digit: str(unicodedata.digit(digit)) for digit in digits}


def _normalise_as_version_1(text: pl.Series, country: str) -> pl.Series:
    """Return numbers in the form of version 1, which does not remove `tel:`, `sip:` or `(0)`."""
    digits = text.str.replace_all(r"[ \-./()]", "").str.replace(r"^(?:\+|00)", "").str.replace("^0", country)
    is_number = text.str.contains(r"^\+?[0-9 \-./()]+$").fill_null(False)
    return text.zip_with(~is_number, digits)


def _normalise_as_version_2(text: pl.Series, country: str) -> pl.Series:
    """Return numbers in the form of version 2, which does not remove display names, typographic dashes and invisible marks."""
    bare = text.str.strip_chars().str.replace(_URI, "$1").str.replace(_TRUNK, "$1")
    digits = bare.str.replace_all(r"[ \-./()\x{a0}\x{202f}]", "").str.replace(r"^(?:\+|00)", "").str.replace("^0", country)
    is_number = (bare.str.contains(_NUMBER) & (digits != "")).fill_null(False)
    return text.zip_with(~is_number, digits)
