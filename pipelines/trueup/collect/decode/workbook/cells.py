"""Cells of a worksheet: each becomes the text of its exact value, or a fault that rejects its record."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from trueup.collect.decode.workbook.package import Sheet
from trueup.events.reasons import Reason

DIGITS = 15
"""Number of significant digits that a spreadsheet keeps of a number."""
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")

Fault = Literal["lost", "formula", "error", "unreadable"]
FAULTS: dict[Fault, tuple[Reason, str]] = {
    "lost": ("lost_digits", f"has all its digits (a spreadsheet keeps {DIGITS})"),
    "formula": ("uncomputable", "is a formula with a stored value"),
    "error": ("uncomputable", "is no error value"),
    "unreadable": ("unparsable", "is a value of its type"),
}
"""Reason and rule of a rejected cell, by fault."""


class Cell(NamedTuple):
    """A cell: its text (the file's own text where it has a fault), whether the file types it as a number, and its fault."""

    text: str | None
    is_number: bool = False
    fault: Fault | None = None


class RawCell(NamedTuple):
    """A cell in the form of its XML: type, style, the texts of value and formula (None where absent), and its inline string."""

    kind: str
    style: str
    value: str | None
    formula: str | None
    inline: str | None


def cell_of(raw: RawCell, sheet: Sheet) -> Cell:
    """Return a cell as text: dates in ISO form, numbers as plain decimals, truth values as `true` and `false`."""
    if raw.kind == "inlineStr":
        return Cell(raw.inline or None)
    if raw.value is None or raw.value == "":
        return Cell(None) if raw.formula is None else Cell(f"={raw.formula}", fault="formula")
    try:
        return _convert_cell(raw, raw.value, sheet)
    except (ValueError, OverflowError, IndexError):
        return Cell(raw.value, fault="unreadable")


def _convert_cell(raw: RawCell, value: str, sheet: Sheet) -> Cell:
    if raw.kind == "s":
        index = int(value)
        return Cell(sheet.strings[index] or None) if index >= 0 else Cell(value, fault="unreadable")
    if raw.kind == "e":
        return Cell(value, fault="error")
    if raw.kind == "b":
        return Cell("true" if int(value) else "false")
    if raw.kind != "n":
        return Cell(value)
    style = int(raw.style)
    if style in sheet.dates:
        return Cell(_format_moment(float(value), style in sheet.durations, sheet.epoch))
    # Most numbers are short, and a spreadsheet keeps all digits of a short number.
    return Cell(value, is_number=True) if len(value) <= DIGITS and value.isdecimal() else _format_number(value.strip())


def _format_number(value: str) -> Cell:
    """Return a number as a plain decimal with the digits that a spreadsheet keeps.

    >>> [_format_number(text).text for text in ("60", "0.30000000000000004", "1E-7", "007")]
    ['60', '0.3', '0.0000001', '007']
    >>> _format_number("4915110000010001").fault, _format_number("1e300").fault
    ('lost', 'lost')
    """
    if not _NUMBER.fullmatch(value):
        return Cell(value, fault="unreadable")
    if _WHOLE.fullmatch(value):
        is_lost = len(value.lstrip("+-").lstrip("0")) > DIGITS
        return Cell(value, is_number=True, fault="lost" if is_lost else None)
    if len(value) <= DIGITS and "e" not in value and "E" not in value:
        return Cell(value, is_number=True)
    number = float(value)
    if abs(number) >= 10**DIGITS:
        return Cell(value, is_number=True, fault="lost")
    return Cell(format(Decimal(format(number, f".{DIGITS}g")), "f"), is_number=True)


def _format_moment(days: float, is_duration: bool, epoch: datetime) -> str:
    """Return a number of days as a date and time, a time of day, or hours, minutes and seconds."""
    from openpyxl.utils.datetime import from_excel

    value = from_excel(days, epoch, timedelta=is_duration)
    if isinstance(value, timedelta):
        sign, seconds = "-" * (value < timedelta()), abs(value)
        whole = seconds // timedelta(seconds=1)
        rest = f".{seconds.microseconds:06}".rstrip("0") if seconds.microseconds else ""
        return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{rest}"
    return value.isoformat() if isinstance(value, time) else value.isoformat(sep=" ")
