"""How results are shown: tables for people, JSON and CSV for programs, progress on stderr.

Everything a command prints comes through here, and secrets of the configuration are masked here: in messages whatever was expanded
from the environment, in results the credentials.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueup.secret import masked, masked_data
from trueup.warehouse.text import as_json, as_text

_NUMBERS = (int, float, Decimal)
_ANY_WIDTH = 100_000


def line(text: str = "") -> None:
    """One line of a result."""
    sys.stdout.write(_harmless(masked(text)) + "\n")


def lines(text: str) -> None:
    """Several lines of a result as they are, such as a query plan."""
    sys.stdout.write(masked(text).rstrip("\n") + "\n")


def note(text: str) -> None:
    """One line about what is going on; never part of a result."""
    sys.stderr.write(_harmless(masked(text)) + "\n")
    sys.stderr.flush()


def json_value(value: object) -> None:
    """A result as JSON; an array with one element on each line."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        json_rows(value)
    else:
        sys.stdout.write(as_json(masked_data(value)) + "\n")


def json_rows(rows: Iterable[object]) -> None:
    """Rows as a JSON array, written as they come."""
    written = 0
    for written, row in enumerate(rows, start=1):
        sys.stdout.write(("[\n" if written == 1 else ",\n") + as_json(masked_data(row)))
    sys.stdout.write("\n]\n" if written else "[]\n")


def csv_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows as CSV with a header; a missing value is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([as_text(masked_data(value)) for value in row] for row in rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Rows as a table: fitted to a terminal, in full width anywhere else so that nothing is cut."""
    shown = [list(row) for row in rows]
    drawn = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], _NUMBERS) for row in shown)
        drawn.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        drawn.add_row(*(Text(_harmless(as_text(masked_data(value)))) for value in row))
    terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if terminal else _ANY_WIDTH, highlight=False, soft_wrap=not terminal).print(drawn)


def dictionaries(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> None:
    """Some columns of rows that are dictionaries, as a table."""
    table(columns, ([row[column] for column in columns] for row in rows), title=title)


def moment(value: datetime | None) -> str:
    """A time for people, to the second; a dash where there is none."""
    return "-" if value is None else value.strftime("%Y-%m-%d %H:%M:%SZ")


def counted(number: int, noun: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _harmless(text: str) -> str:
    """Text without what a terminal would obey: records hold whatever the network wrote into them."""
    return "".join(c if c.isprintable() or c == "\t" else "\\n" if c == "\n" else f"\\x{ord(c):02x}" for c in text)
