"""Declared notations of numbers and durations: convert texts to plain decimals, and refuse texts that do not fit the notation."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

from trueup.config import NotationConfig

Clock = Literal["h:m:s", "h:m", "m:s", "units"]

_NO_NUMBER = "?"
"""The text that replaces a text in another notation; it is not a decimal, so the record is refused."""
_GROUPING = {"": "", ".": r"\.", ",": ",", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}
_PARENTHESES = r"^\((.*)\)$"
_MINUS = "[-\u2212]"
_CLOCKS = {
    "h:m:s": r"^(?P<h>[0-9]+):(?P<m>[0-5][0-9]):(?P<s>[0-5][0-9])(?:[.,](?P<fraction>[0-9]+))?$",
    "h:m": r"^(?P<h>[0-9]+):(?P<m>[0-5][0-9])$",
    "m:s": r"^(?P<m>[0-9]+):(?P<s>[0-5][0-9])(?:[.,](?P<fraction>[0-9]+))?$",
    "units": (
        r"^(?i)(?:(?P<h>[0-9]+) ?h(?:ours?|rs?)?)? ?(?:(?P<m>[0-9]+) ?m(?:in(?:ute)?s?)?)?"
        r" ?(?:(?P<s>[0-9]+)(?:[.,](?P<fraction>[0-9]+))? ?s(?:ec(?:ond)?s?)?)?$"
    ),
}
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_DIGITS = 15
"""Maximum number of digits of hours, minutes or seconds, so that their sum fits 64 bits."""


def plain_numbers(texts: pl.Series, notation: NotationConfig, *, version: int = 4) -> pl.Series:
    """Return numbers in a notation as plain decimals (`-1234.5`); a text that does not fit becomes a text that is not a number.

    `5,-` may mean 5 without cents or the negative of 5, so from version 3 of the mapping on it fits no notation. No country groups
    digits after a zero: `0.500` is a half in another notation, so from version 4 on it does not fit either.

    >>> german = NotationConfig(decimal=",", grouping=".", negative="trailing", currency=("€",))
    >>> plain_numbers(pl.Series(["1.000", "1.234,50 €", "12,00-", "1.00", None]), german).to_list()
    ['1000', '1234.50', '-12.00', '?', None]
    >>> plain_numbers(pl.Series(["0.500", "10.500", "0,5"]), german).to_list()
    ['?', '10500', '0.5']
    """
    text = texts.str.strip_chars()
    in_parentheses = pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)
    if notation.negative == "parentheses":
        in_parentheses = text.str.contains(_PARENTHESES)
        text = text.str.replace(_PARENTHESES, "$1")
    parts = text.str.extract_groups(_build_pattern(notation, version)).struct.unnest().with_columns(in_parentheses.alias("wrapped"))
    whole, fraction = pl.col("whole").fill_null(""), pl.col("fraction").fill_null("")
    if notation.grouping:
        whole = whole.str.replace_all(_GROUPING[notation.grouping], "")
    signs = [pl.col(name).is_not_null() for name in parts.columns if name.startswith("minus")] + [pl.col("wrapped")]
    fits = ((whole != "") | (fraction != "")) & (pl.sum_horizontal(sign.cast(pl.Int8) for sign in signs) <= 1)
    number = pl.concat_str(
        pl.when(pl.any_horizontal(signs)).then(pl.lit("-")).otherwise(pl.lit("")),
        pl.when(whole == "").then(pl.lit("0")).otherwise(whole),
        pl.when(fraction == "").then(pl.lit("")).otherwise(pl.lit(".") + fraction),
        pl.lit("e-2" if notation.percent else ""),
    )
    plain = parts.select(pl.when(fits).then(number).otherwise(pl.lit(_NO_NUMBER))).to_series()
    if notation.negative == "trailing" and version > 2:
        without_cents = texts.str.contains(re.escape(notation.decimal) + rf"\s*{_MINUS}")
        plain = plain.set(without_cents.fill_null(False), _NO_NUMBER)
    return plain.set(texts.is_null(), None).alias(texts.name)


def describe(notation: NotationConfig) -> str:
    """Return a notation in words, for the rule of a refused record.

    >>> describe(NotationConfig(decimal=",", grouping=".", percent=True))
    "decimal mark ',', grouping mark '.', percent"
    """
    words = [f"decimal mark {notation.decimal!r}", f"grouping mark {notation.grouping!r}" if notation.grouping else "no grouping"]
    words += [f"currency {', '.join(notation.currency)}"] if notation.currency else []
    words += [f"{notation.negative} minus" if notation.negative == "trailing" else "negative in parentheses"] * (
        notation.negative != "leading"
    )
    return ", ".join(words + ["percent"] * notation.percent)


def _build_pattern(notation: NotationConfig, version: int) -> str:
    group = _GROUPING[notation.grouping]
    first = "[1-9][0-9]{0,2}" if version > 3 else "[0-9]{1,3}"
    whole = f"{first}(?:{group}[0-9]{{3}})+|[0-9]*" if group else "[0-9]*"
    number = rf"(?P<whole>{whole})(?:{re.escape(notation.decimal)}(?P<fraction>[0-9]*))?"
    percent = r"\s?%" if notation.percent else ""
    codes = "|".join(re.escape(text) for text in sorted(notation.currency, key=len, reverse=True))
    code = rf"(?:\s?(?:{codes})\s?)?" if codes else ""
    trailing = f"(?P<minus_trailing>{_MINUS})?" if notation.negative == "trailing" else ""
    return f"^{_build_sign('before')}{code}{_build_sign('after') if codes else ''}{number}{percent}{code}{trailing}$"


def _build_sign(name: str) -> str:
    return rf"(?:(?P<minus_{name}>{_MINUS})|\+)?"


def plain_seconds(texts: pl.Series, clock: Clock) -> pl.Series:
    """Return durations in a notation as decimals of seconds; a text that does not fit becomes a text that is not a number.

    >>> plain_seconds(pl.Series(["00:08:10", "01:00:00.5", "8:10", None]), "h:m:s").to_list()
    ['490', '3600.5', '?', None]
    >>> plain_seconds(pl.Series(["8m10s", "1h", "2 min 3 sec", ""]), "units").to_list()
    ['490', '3600', '123', '?']
    """
    parts = texts.str.strip_chars().str.extract_groups(_CLOCKS[clock]).struct.unnest()
    given = [name for name in _SECONDS if name in parts.columns]
    fits = pl.any_horizontal(pl.col(name).is_not_null() for name in given) & pl.all_horizontal(
        pl.col(name).fill_null("").str.len_bytes() <= _DIGITS for name in given
    )
    parts = parts.with_columns(pl.when(fits).then(pl.col(name)) for name in given)
    seconds = pl.sum_horizontal(pl.col(name).cast(pl.Int64).fill_null(0) * _SECONDS[name] for name in given)
    fraction = pl.lit(".") + pl.col("fraction") if "fraction" in parts.columns else pl.lit(None, pl.String)
    plain = parts.select(
        pl.when(pl.any_horizontal(pl.col(name).is_not_null() for name in given))
        .then(pl.concat_str(seconds.cast(pl.String), fraction.fill_null("")))
        .otherwise(pl.lit(_NO_NUMBER))
    ).to_series()
    return plain.set(texts.is_null(), None).alias(texts.name)
