"""Values as text that loses nothing: JSON with exact numbers, and cells of a table or CSV file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

RUN_BY_SPREADSHEETS = r"^[=+\-@\t\r\n＝＋－＠]"
"""How text begins that a spreadsheet takes for a formula, or for what one may follow."""
_RUN = re.compile(RUN_BY_SPREADSHEETS)


def for_spreadsheet(text: str) -> str:
    """The text of a cell, with an apostrophe before what a spreadsheet would run; numbers are no text and need none."""
    return f"'{text}" if _RUN.match(text) else text


def as_json(value: object) -> str:
    """A value as JSON: decimals as numbers with all their digits, times in ISO 8601, bytes in hex; NaN and infinity as null.

    Takes what queries and commands return: mappings, sequences, dataclasses and plain values; anything else by its `str`.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "null"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(k))}: {as_json(v)}" for k, v in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type):
        return as_json({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return _quoted(as_text(value))


def as_text(value: object) -> str:
    """A value as the text of one cell; a missing value is empty, a list or structure is JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return str(value)  # An interval of months, days and nanoseconds.
    if isinstance(value, Mapping | Sequence):
        return as_json(value)
    return str(value)


def unique(columns: Sequence[str]) -> list[str]:
    """Column names made different from one another: a second `a` becomes `a_2`, as keys of a JSON object must be."""
    taken: set[str] = set()
    names = []
    for column in columns:
        name, number = column, 1
        while name in taken:
            number += 1
            name = f"{column}_{number}"
        taken.add(name)
        names.append(name)
    return names


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
