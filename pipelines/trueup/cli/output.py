"""Output of results: tables for people, JSON and CSV for programs, progress on stderr.

All output of commands passes through this module, which masks the secrets of the configuration: values of environment variables in
messages, credentials in results.

Records and file names may hold any text. Text for people therefore passes `visible`, which shows characters that a terminal would
obey as escapes. JSON and CSV in a file or a pipe are exactly the data; on a terminal they pass `visible` as well.
"""

from __future__ import annotations

import csv
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueup.printable import visible as visible
from trueup.secret import mask, mask_data
from trueup.warehouse.text import as_json, as_text, for_spreadsheet

_NUMBERS = (int, float, Decimal)
_ANY_WIDTH = 100_000


def guard_stderr() -> None:
    """Pass log messages and warnings of libraries, which may quote data, through `visible`."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Visible())
    warnings.formatwarning = _format_warning


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _format_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    return visible(f"{category.__name__}: {message} ({filename}:{lineno})") + "\n"


_quiet = False
"""Whether the running command shows only problems and JSON."""


def be_quiet(wanted: bool) -> bool:
    """Show only problems and JSON from now on, or everything; return the value, as the callback of an option does."""
    global _quiet
    _quiet = wanted
    return wanted


def draws() -> bool:
    """Return whether progress may be drawn: on a terminal, unless the command is quiet."""
    return sys.stderr.isatty() and not _quiet


def line(text: str = "") -> None:
    """Print one line of a result."""
    if not _quiet:
        sys.stdout.write(visible(mask(text)) + "\n")


def lines(text: str) -> None:
    """Print several lines of a result, such as a query plan."""
    for text_line in text.rstrip("\n").split("\n"):
        line(text_line)


def note(text: str) -> None:
    """Print one line of progress on stderr; never part of a result."""
    if not _quiet:
        problem(text)


def fault(text: str) -> None:
    """Print one line of a result that names a fault; with `--quiet`, which leaves out results, on stderr."""
    if _quiet:
        problem(text)
    else:
        line(text)


def problem(text: str) -> None:
    """Print one line on stderr about what is wrong, also with `--quiet`."""
    sys.stderr.write(visible(mask(text)) + "\n")
    sys.stderr.flush()


def note_each(verbose: bool) -> Callable[[str], None] | None:
    """Return the printer of frequent progress lines: `note` on a terminal or with `--verbose`, else None."""
    return note if verbose or draws() else None


def json_value(value: object) -> None:
    """Print a result as JSON; an array with one element per line."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        json_rows(value)
    else:
        sys.stdout.write(_encode_json(value) + "\n")


def json_rows(rows: Iterable[object]) -> None:
    """Print rows as a JSON array, one by one."""
    count = 0
    for count, row in enumerate(rows, start=1):
        sys.stdout.write(("[\n" if count == 1 else ",\n") + _encode_json(row))
    sys.stdout.write("\n]\n" if count else "[]\n")


def _encode_json(value: object) -> str:
    """Return a value as JSON; on a terminal, unprintable characters become JSON escapes, so that the value stays the same."""
    text = as_json(mask_data(value))
    if not sys.stdout.isatty() or text.isprintable():
        return text
    # Unprintable characters occur only within strings: `as_json` writes nothing but spaces between the parts.
    return "".join(c if c.isprintable() else _escape_character(c) for c in text)


def _escape_character(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def csv_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, spreadsheet: bool | None = None) -> None:
    """Print rows as CSV with a header; a missing value is an empty field.

    With `spreadsheet`, text that a spreadsheet would run as a formula gets an apostrophe (see `for_spreadsheet`); None means only
    on a terminal. On a terminal each cell passes `visible`; elsewhere cells are exactly the data.
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
    """Print rows as a table: fitted to a terminal, in full width anywhere else so that nothing is cut."""
    if _quiet:
        return
    cells = [list(row) for row in rows]
    head = Text(visible(title), style="table.title") if title else None
    grid = Table(box=SIMPLE_HEAD, title=head, title_justify="left", pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], _NUMBERS) for row in cells)
        grid.add_column(Text(visible(mask(column))), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(visible(as_text(mask_data(value)))) for value in row))
    terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if terminal else _ANY_WIDTH, highlight=False, soft_wrap=not terminal).print(grid)


def dictionaries(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> None:
    """Print some columns of rows that are dictionaries, as a table."""
    table(columns, ([row[column] for column in columns] for row in rows), title=title)


def moment(value: datetime | None) -> str:
    """Return a time to the second, or a dash for None."""
    return "-" if value is None else value.strftime("%Y-%m-%d %H:%M:%SZ")


def short(path: str | Path) -> str:
    """Return a path relative to the working folder where it lies below it."""
    absolute, here = Path(path).absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 finding`, `2 findings`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
