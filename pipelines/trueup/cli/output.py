"""How results are shown: tables for people, JSON and CSV for programs, progress on stderr.

Everything a command prints comes through here, and secrets of the configuration are masked here: in messages whatever was expanded
from the environment, in results the credentials.

Records hold any text that the network wrote, and files have any name. All text therefore passes `visible` on its way to a person:
characters that a terminal would obey are shown as escapes. JSON and CSV in a file or a pipe are exactly the data; on a terminal
they pass it as well.
"""

from __future__ import annotations

import csv
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueup.secret import mask, mask_data
from trueup.warehouse.text import as_json, as_text, for_spreadsheet

_NUMBERS = (int, float, Decimal)
_ANY_WIDTH = 100_000
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = "nrtxuU\\"
"""What follows the backslash of an escape."""


def visible(text: str) -> str:
    """Text in which each character that a terminal obeys or hides is an escape: `\\n`, `\\x1b`, `\\u202e`, `\\U000e0001`.

    Those are control characters (C0, C1), line and paragraph separators, bidirectional and other format controls, surrogates and
    whatever else Unicode does not call printable. A backslash before what would read as an escape is doubled, so that nothing is
    lost.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text, f"{text[1:]} "))


def _shown(character: str, following: str) -> str:
    if character == "\\":
        return "\\\\" if following in _ESCAPES or not following.isprintable() else character
    if character.isprintable():
        return character
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")


def guard_stderr() -> None:
    """Lets log messages and warnings of libraries, which may quote data, pass `visible` as well."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Visible())
    warnings.formatwarning = _format_warning


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _format_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    return visible(f"{category.__name__}: {message} ({filename}:{lineno})") + "\n"


def line(text: str = "") -> None:
    """One line of a result."""
    sys.stdout.write(visible(mask(text)) + "\n")


def lines(text: str) -> None:
    """Several lines of a result, such as a query plan."""
    for one in text.rstrip("\n").split("\n"):
        line(one)


def note(text: str) -> None:
    """One line about what is going on; never part of a result."""
    sys.stderr.write(visible(mask(text)) + "\n")
    sys.stderr.flush()


def note_each(verbose: bool) -> Callable[[str], None] | None:
    """How lines are printed of which there may be very many: to a terminal, or where they are asked for; else not at all."""
    return note if verbose or sys.stderr.isatty() else None


def json_value(value: object) -> None:
    """A result as JSON; an array with one element on each line."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        json_rows(value)
    else:
        sys.stdout.write(_json(value) + "\n")


def json_rows(rows: Iterable[object]) -> None:
    """Rows as a JSON array, written as they come."""
    written = 0
    for written, row in enumerate(rows, start=1):
        sys.stdout.write(("[\n" if written == 1 else ",\n") + _json(row))
    sys.stdout.write("\n]\n" if written else "[]\n")


def _json(value: object) -> str:
    """A value as JSON; on a terminal, what it would obey is written by JSON's own escapes, so that it is the same value."""
    text = as_json(mask_data(value))
    if not sys.stdout.isatty() or text.isprintable():
        return text
    # All that is not printable stands within strings: `as_json` puts nothing but spaces between the parts.
    return "".join(c if c.isprintable() else _json_escape(c) for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def csv_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, spreadsheet: bool | None = None) -> None:
    """Rows as CSV with a header; a missing value is an empty field.

    With `spreadsheet`, text that a spreadsheet would run is kept from it (see `for_spreadsheet`); None is with it on a terminal
    only. On a terminal each cell passes `visible`; elsewhere cells are exactly the data.
    """
    terminal = sys.stdout.isatty()
    for_person = terminal if spreadsheet is None else spreadsheet

    def cell(value: object) -> str:
        text = as_text(value)
        text = for_spreadsheet(text) if for_person and not isinstance(value, _NUMBERS) else text
        return visible(text) if terminal else text

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([cell(mask_data(column)) for column in columns])
    writer.writerows([cell(mask_data(value)) for value in row] for row in rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Rows as a table: fitted to a terminal, in full width anywhere else so that nothing is cut."""
    shown = [list(row) for row in rows]
    head = Text(visible(title), style="table.title") if title else None
    drawn = Table(box=SIMPLE_HEAD, title=head, title_justify="left", pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], _NUMBERS) for row in shown)
        drawn.add_column(Text(visible(mask(column))), justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        drawn.add_row(*(Text(visible(as_text(mask_data(value)))) for value in row))
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
