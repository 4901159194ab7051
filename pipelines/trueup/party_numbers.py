"""Party numbers: one form of a telephone number, however a switch, a spreadsheet or a SIP proxy writes it."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

_URI = r"^(?i:tel|sips?):([^@;?>]*).*$"
_TRUNK = r"^((?:\+|00)[0-9 \-./]*)\(0\)"
_MARKS = r"[ \-./()\x{a0}\x{202f}]"
_NUMBER = r"^(?:\+|00)?[0-9 \-./()\x{a0}\x{202f}]+$"
_INTERNATIONAL = r"^(?:\+|00)"


def international_digits(number: pl.Expr, country: str = "") -> pl.Expr:
    """Return the digits of telephone numbers; a text that is no number is returned unchanged.

    The scheme of a `tel:` or `sip:` address, its host and parameters, brackets, blanks, dots and dashes are removed, then a leading
    `+` or `00`, and the national `(0)` of an international number. A leading 0 becomes the calling code `country`, if there is one.

    >>> written = pl.Series(["+49 (0)30 123", "004930123", "sip:030123@pbx.example;user=phone", "030-123", "alice"])
    >>> pl.select(international_digits(pl.lit(written), "49")).to_series().to_list()
    ['4930123', '4930123', '4930123', '4930123', 'alice']
    """
    text = number.str.strip_chars().str.replace(_URI, "$1").str.replace(_TRUNK, "$1")
    digits = text.str.replace_all(_MARKS, "").str.replace(_INTERNATIONAL, "")
    if country:
        digits = digits.str.replace("^0", country)
    return pl.when(text.str.contains(_NUMBER) & (digits != "")).then(digits).otherwise(number)


def digits_of(numbers: Iterable[str]) -> list[str]:
    """Return numbers and prefixes of the configuration in the form of `international_digits`."""
    return pl.select(international_digits(pl.lit(pl.Series(list(numbers), dtype=pl.String)))).to_series().to_list()
