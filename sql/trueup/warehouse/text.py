"""Lossless text of values: JSON with exact numbers, and cells of a table or CSV file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

FORMULA_START = r"^[=+\-@\t\r\n＝＋－＠]"
"""Matches the beginning of text that a spreadsheet may take for a formula."""
_FORMULA = re.compile(FORMULA_START)


def for_spreadsheet(text: str) -> str:
    """Return the text of a cell, with an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def as_json(value: object) -> str:
    """Return a value as JSON: decimals with all digits, times in ISO 8601, bytes in hex; NaN and infinity become null.

    Takes the results of queries and commands: mappings, sequences, dataclasses and plain values. Other values become their `str`.
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
        return "{" + ", ".join(f"{_quote(str(k))}: {as_json(v)}" for k, v in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type):
        return as_json({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return _quote(as_text(value))


def as_text(value: object) -> str:
    """Return a value as the text of one cell: empty for a missing value, JSON for a list or structure."""
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


def unique_names(columns: Sequence[str]) -> list[str]:
    """Return column names without repetition, as keys of a JSON object need: a second `a` becomes `a_2`."""
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


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
