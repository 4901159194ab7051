"""Texts in one form: removes differences of blanks, Unicode and spreadsheets, so that the same key is equal in two feeds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.frames import joined_texts

_EXCEL_TEXT = r'^="([^"]*)"$'
_TEXT_MARK = r"^'([+=@-]?[0-9][^']*)$"
"""An apostrophe by which a spreadsheet, or an export that guards against formulas, marks a number as text."""
_SCIENTIFIC = {
    2: r"^[0-9](?:[.,](?P<decimals>[0-9]+))?E\+(?P<exponent>[0-9]{2,3})$",
    3: r"^[0-9](?:[.,](?P<decimals>[0-9]+)[eE]\+?|[eE]\+)(?P<exponent>[0-9]{2,3})$",
}
_LONG_OR_SIGNED = r"[eE]\+|[.,][0-9]{3,}[eE]"
_FLOAT = {2: r"^(\+?[0-9]{6,15})\.0$", 3: r"^(\+?[0-9]{6,15})[.,]0+$"}
_INVISIBLE = "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
"""Marks without width: byte order marks, direction marks, soft hyphens and line-break opportunities."""
_CODE = r"(?:\p{Lu}{3}\W*)?"
_HYPHENED_NUMBER = rf"^\W*{_CODE}\x{{ad}}\W*{_CODE}[0-9][0-9\W]*{_CODE}$|^\W*{_CODE}[0-9][0-9\W]*\x{{ad}}\W*{_CODE}$"
"""A number, also with a currency, before or after a soft hyphen, which some systems print as the minus sign."""
_JOINERS = "^[\u200c\u200d]+|[\u200c\u200d]+$"
"""Marks without width that have a meaning only between two letters."""
_BLANKS = "[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_DIGITS = 15
"""Number of significant digits that a spreadsheet keeps."""


@dataclass(frozen=True)
class RepairedNumbers:
    """Repaired texts of numbers, and a mask of those that lost digits in a spreadsheet."""

    texts: pl.Series
    is_lost: pl.Series


def clean_texts(fields: pl.DataFrame, *, version: int = 4) -> pl.DataFrame:
    r"""Return text columns without outer blanks, in Unicode's composed form (NFC), and without a spreadsheet's `="…"`.

    From version 3 of the mapping on, invisible marks are removed, and other kinds of inner blanks become plain blanks. A text of
    blanks alone is missing. From version 4 on, a soft hyphen next to a number stays, because it may be the minus sign. The text is
    then no number.

    >>> clean_texts(pl.DataFrame({"key": [" p1 ", "Mu\u0308ller", '="0151"', "  ", "\ufeffp\u00a01"]}))["key"].to_list()
    ['p1', 'Müller', '0151', None, 'p 1']
    """
    names = [name for name, dtype in fields.schema.items() if dtype == pl.String]
    return fields.with_columns(_clean_texts(fields[name], version) for name in names)


_ASCII_BLANKS = " \t\n\r\v\f"


def _clean_texts(texts: pl.Series, version: int) -> pl.Series:
    whole = joined_texts(texts)
    # A search for one character takes a tenth of the time of a search for two.
    has_formula = "=" in whole and '="' in whole
    if whole.isascii() and not has_formula and not any(blank in whole for blank in _ASCII_BLANKS):
        return texts
    cleaned = texts.str.strip_chars()
    # Most feeds are ASCII, where both forms are equal; normalising costs as much as reading the file.
    if not whole.isascii() and cleaned.str.len_bytes().sum() != cleaned.str.len_chars().sum():
        if version > 2:
            marked = cleaned
            cleaned = cleaned.str.replace_all(_INVISIBLE, "").str.replace_all(_BLANKS, " ").str.strip_chars()
            if version > 3:
                is_signed = marked.str.contains(_HYPHENED_NUMBER).fill_null(False)
                cleaned = marked.zip_with(is_signed, cleaned) if is_signed.any() else cleaned
            cleaned = cleaned.str.replace_all(_JOINERS, "").str.strip_chars()
        cleaned = cleaned.str.normalize("NFC")
    if (has_formula or not whole.isascii()) and cleaned.str.starts_with('="').any():
        cleaned = cleaned.str.replace(_EXCEL_TEXT, "$1").str.strip_chars()
    is_blank = (cleaned == "") & (texts != "")
    return cleaned.set(is_blank.fill_null(False), None) if is_blank.any() else cleaned


def repair_numbers(texts: pl.Series, *, has_decimals: bool, version: int = 4) -> RepairedNumbers:
    """Return numbers as they were before a spreadsheet or data frame rewrote them; mark those that lost digits.

    `4.91511000001E+11` names all its digits and is repaired; `4.91511E+11` has lost some. `491511000001.0` is repaired unless
    `has_decimals`: a key may have a decimal point of its own. From version 3 of the mapping on, `4.91511000001e11` is repaired too,
    and the apostrophe of `'0151` is removed.

    >>> repaired = repair_numbers(pl.Series(["4.91511000001E+11", "4.91511E+11", "491511000001.0", "12E10"]), has_decimals=False)
    >>> repaired.texts.to_list(), repaired.is_lost.to_list()
    (['491511000001', '4.91511E+11', '491511000001', '12E10'], [False, True, False, False])
    """
    whole = joined_texts(texts)
    if version > 2 and "'" in whole and texts.str.starts_with("'").any():
        texts = texts.str.replace(_TEXT_MARK, "$1")
    scientific, written = _SCIENTIFIC[min(max(2, version), 3)], _FLOAT[min(max(2, version), 3)]
    is_lost = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    # Without a plus, a short text such as 1.5E10 may be a key.
    is_scientific = is_lost if "e" not in whole and "E" not in whole else _is_scientific(texts, scientific)
    if is_scientific.any():
        parts = texts.str.extract_groups(scientific).struct.unnest()
        decimals, exponent = pl.col("decimals").fill_null("").str.len_chars(), pl.col("exponent").cast(pl.UInt32)
        is_whole = parts.select(((decimals == exponent) & (exponent < _DIGITS)).fill_null(False)).to_series()
        digits = texts.str.replace(r"[eE]\+?[0-9]*$", "").str.replace("[.,]", "")
        is_lost = is_scientific & ~is_whole
        texts = texts.zip_with(~(is_scientific & is_whole), digits)
    is_written = not has_decimals and ("." in whole or "," in whole)
    return RepairedNumbers(texts.str.replace(written, "$1") if is_written else texts, is_lost)


def _is_scientific(texts: pl.Series, form: str) -> pl.Series:
    return (texts.str.contains(form) & texts.str.contains(_LONG_OR_SIGNED)).fill_null(False)
