"""One form of text: blanks, Unicode and what a spreadsheet leaves, so that equal keys of two feeds are equal."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_EXCEL_TEXT = r'^="([^"]*)"$'
_SCIENTIFIC = r"^[0-9](?:[.,](?P<decimals>[0-9]+))?E\+(?P<exponent>[0-9]{2,3})$"
_FLOAT = r"^(\+?[0-9]{6,15})\.0$"
_DIGITS = 15
"""Significant digits that a spreadsheet keeps."""


@dataclass(frozen=True)
class RepairedNumbers:
    """Texts of numbers after repair, and which of them have lost digits in a spreadsheet."""

    texts: pl.Series
    is_lost: pl.Series


def clean_texts(fields: pl.DataFrame) -> pl.DataFrame:
    r"""Return text columns without outer blanks, in Unicode's composed form (NFC), and without a spreadsheet's `="…"`.

    A text of blanks alone is missing.

    >>> clean_texts(pl.DataFrame({"key": [" p1 ", "Mu\u0308ller", '="0151"', "  "]}))["key"].to_list()
    ['p1', 'Müller', '0151', None]
    """
    names = [name for name, dtype in fields.schema.items() if dtype == pl.String]
    return fields.with_columns(_clean(fields[name]) for name in names)


def _clean(texts: pl.Series) -> pl.Series:
    cleaned = texts.str.strip_chars()
    # Most feeds are ASCII, where both forms are equal; normalising costs as much as reading the file.
    if cleaned.str.len_bytes().sum() != cleaned.str.len_chars().sum():
        cleaned = cleaned.str.normalize("NFC")
    if cleaned.str.starts_with('="').any():
        cleaned = cleaned.str.replace(_EXCEL_TEXT, "$1").str.strip_chars()
    is_blank = (cleaned == "") & (texts != "")
    return cleaned.set(is_blank.fill_null(False), None) if is_blank.any() else cleaned


def repair_numbers(texts: pl.Series, *, has_decimals: bool) -> RepairedNumbers:
    """Return numbers as they were before a spreadsheet or data frame rewrote them; mark those that lost digits.

    `4.91511000001E+11` names all its digits and is repaired; `4.91511E+11` has lost some. `491511000001.0` is repaired unless
    `has_decimals`: a key may have a decimal point of its own.

    >>> repaired = repair_numbers(pl.Series(["4.91511000001E+11", "4.91511E+11", "491511000001.0", "12E10"]), has_decimals=False)
    >>> repaired.texts.to_list(), repaired.is_lost.to_list()
    (['491511000001', '4.91511E+11', '491511000001', '12E10'], [False, True, False, False])
    """
    is_scientific = texts.str.contains(_SCIENTIFIC).fill_null(False)
    is_lost = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    if is_scientific.any():
        parts = texts.str.extract_groups(_SCIENTIFIC).struct.unnest()
        decimals, exponent = pl.col("decimals").fill_null("").str.len_chars(), pl.col("exponent").cast(pl.UInt32)
        is_whole = parts.select(((decimals == exponent) & (exponent < _DIGITS)).fill_null(False)).to_series()
        digits = texts.str.replace(r"E\+.*$", "").str.replace("[.,]", "")
        is_lost = is_scientific & ~is_whole
        texts = texts.zip_with(~(is_scientific & is_whole), digits)
    return RepairedNumbers(texts if has_decimals else texts.str.replace(_FLOAT, "$1"), is_lost)
