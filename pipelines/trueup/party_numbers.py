"""Party numbers: bring telephone numbers from switches, spreadsheets and SIP proxies into one form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

_DISPLAYED = r"^[^<]*<([^<>]*)>.*$"
_URI = r"^(?i:tel|sips?):([^@;?>]*).*$"
_UNSEEN = r"\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}"
_SIGNS = rf" \-./()\x{{a0}}\x{{2000}}-\x{{200a}}\x{{2010}}-\x{{2015}}\x{{2212}}\x{{202f}}{_UNSEEN}"
_MARKS = f"[{_SIGNS}]"
_TRUNK = rf"^([{_UNSEEN}]*(?:\+|00)[0-9{_SIGNS}]*)\(0\)"
_NUMBER = rf"^[{_UNSEEN}]*(?:\+|00)?[0-9{_SIGNS}]+$"
_INTERNATIONAL = r"^(?:\+|00)"


def international_digits(
    number: pl.Expr, country: str = "", *, prefixes: Mapping[str, str] | None = None, national_digits: Iterable[int] = ()
) -> pl.Expr:
    """Return the digits of telephone numbers; a text that is not a telephone number is returned unchanged.

    A display name, and the scheme, host and parameters of a `tel:` or `sip:` address are removed first. So are brackets, blanks,
    dots, dashes and invisible marks. Then a leading `+` or `00` is removed, and the national `(0)` of an international number. A
    leading 0 becomes the calling code `country`, if there is one.

    `prefixes` are leading digits other than 00 and 0, with their replacement; the longest match counts. A number with
    `national_digits` digits, without a prefix and without `+`, gets the calling code.

    >>> written = pl.Series(["+49 (0)30 123", "004930123", "sip:030123@pbx.example;user=phone", "030-123", "alice"])
    >>> pl.select(international_digits(pl.lit(written), "49")).to_series().to_list()
    ['4930123', '4930123', '4930123', '4930123', 'alice']
    >>> written = pl.Series(["(212) 555-0100", "1-212-555-0100", "011 49 30 123", "+4930123"])
    >>> american = international_digits(pl.lit(written), "1", prefixes={"011": "", "1": "1"}, national_digits=[10])
    >>> pl.select(american).to_series().to_list()
    ['12125550100', '12125550100', '4930123', '4930123']
    """
    text = number.str.strip_chars().str.replace(_DISPLAYED, "$1").str.replace(_URI, "$1").str.replace(_TRUNK, "$1")
    dialled = text.str.replace_all(_MARKS, "")
    if prefixes is None and not (lengths := tuple(national_digits)):
        digits = dialled.str.replace(_INTERNATIONAL, "")
        digits = digits.str.replace("^0", country) if country else digits
    else:
        lengths = tuple(national_digits)
        replaced = {"00": "", "0": country} if prefixes is None else prefixes
        digits = pl.when(dialled.str.len_chars().is_in(lengths)).then(pl.lit(country) + dialled).otherwise(dialled)
        for prefix in sorted(replaced, key=len):
            rest = pl.lit(replaced[prefix]) + dialled.str.slice(len(prefix))
            digits = pl.when(dialled.str.starts_with(prefix)).then(rest).otherwise(digits)
        digits = pl.when(dialled.str.starts_with("+")).then(dialled.str.slice(1)).otherwise(digits)
    return pl.when(text.str.contains(_NUMBER) & (digits != "")).then(digits).otherwise(number)


def digits_of(numbers: Iterable[str]) -> list[str]:
    """Return numbers and prefixes of the configuration in the form of `international_digits`."""
    return pl.select(international_digits(pl.lit(pl.Series(list(numbers), dtype=pl.String)))).to_series().to_list()
