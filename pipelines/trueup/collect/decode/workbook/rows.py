"""Rows of a worksheet: reads its XML as a stream, one row in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from trueup.collect.decode.workbook.cells import Cell, RawCell, cell_of
from trueup.collect.decode.workbook.package import Workbook
from trueup.collect.decode.xml.bounded_parser import BoundedParser, local_name
from trueup.config import LimitsConfig
from trueup.errors import SourceError

_AT = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_ROW = re.compile(rb"<(?:[A-Za-z][\w.-]*:)?row\s(?:[^>]*?\s)?r=[\"']([0-9]+)[\"']")
_OVERLAP_BYTES = 1 << 12
_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 1 << 14
_CELL_BYTES = 32
"""Bytes counted per cell in addition to its text."""


@dataclass
class SheetRow:
    """A row that has at least one cell: its number in the sheet, its cells by column from 0, and its size in bytes.

    A row beyond the limits `record_bytes` or `columns` (`is_too_large`) keeps its first cells. Where two cells of a row are in one
    column (`has_repeated`), it keeps the first one.
    """

    number: int
    cells: dict[int, Cell] = field(default_factory=dict)
    size_bytes: int = 0
    is_too_large: bool = False
    has_repeated: bool = False


def column_letters(column: int) -> str:
    """Return the letters of a column, counted from 0.

    >>> column_letters(0), column_letters(27)
    ('A', 'AB')
    """
    letters, rest = "", column + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


def _parse_column(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1


def check_sheet(book: Workbook, where: str) -> None:
    """Raise `SourceError` for a sheet that is not well-formed or whose rows are not in order.

    The check takes a fraction of the time for reading the cells, and runs before any row is ingested.
    """
    bounded, previous, held = BoundedParser(where), 0, b""
    with book.damage():
        for chunk in book.chunks():
            bounded.step(chunk)
            searched = held + chunk
            for match in _ROW.finditer(searched):
                if match.end() > len(held):
                    previous = _check_row_number(previous, int(match[1]), where)
            held = searched[-_OVERLAP_BYTES:]
        bounded.parser.Parse(b"", True)


def _check_row_number(previous: int, number: int, where: str) -> int:
    if not previous < number <= _MOST_ROWS:
        what = f"row {number} of the sheet follows row {previous}"
        raise SourceError(what, where=where, todo="open the workbook and save it again")
    return number


def sheet_rows(book: Workbook, limits: LimitsConfig, where: str) -> Iterator[SheetRow]:
    """Yield the rows of the sheet that have a cell, in order; raise `SourceError` where the sheet is damaged."""
    rows: list[SheetRow] = []
    reading = _Reading(book, limits, where, rows)
    bounded = BoundedParser(where)
    parser = bounded.parser
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.text
    with book.damage():
        for chunk in book.chunks():
            bounded.step(chunk)
            if rows:
                yield from rows
                rows.clear()
        parser.Parse(b"", True)
    yield from rows


class _Reading:
    """State of a parser within a sheet: the row and the cell that are open."""

    def __init__(self, book: Workbook, limits: LimitsConfig, where: str, rows: list[SheetRow]) -> None:
        self._sheet, self._limits, self._where, self._rows = book.sheet, limits, where, rows
        self._row = SheetRow(0)
        self._column, self._kind, self._style = -1, "n", "0"
        self._local: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._open, self._held, self._is_phonetic = "", 0, False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = self._local.get(name) or self._local.setdefault(name, local_name(name))
        if name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "c":
            self._begin_cell(attributes)
        elif name in ("v", "f", "t") and not self._is_phonetic:
            self._open = name
            self._texts.setdefault(name, [])
        elif name == "rPh":
            # Furigana (reading aids beside a string) are no part of the string.
            self._is_phonetic = True

    def text(self, data: str) -> None:
        if self._open:
            self._held += len(data)
            if self._held <= self._limits.record_bytes:
                self._texts[self._open].append(data)

    def end(self, name: str) -> None:
        name = self._local[name]
        if name in ("v", "f", "t"):
            self._open = ""
        elif name == "rPh":
            self._is_phonetic = False
        elif name == "c":
            self._end_cell()
        elif name == "row" and self._row.cells:
            self._rows.append(self._row)

    def _begin_row(self, number: str | None) -> None:
        previous = self._row.number
        at = _check_row_number(previous, previous + 1 if number is None else int(number), self._where)
        self._row, self._column, self._held = SheetRow(at), -1, 0

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        at = _AT.fullmatch(attributes.get("r", ""))
        self._column = self._column + 1 if at is None else _parse_column(at[1])
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
        self._texts = {}

    def _end_cell(self) -> None:
        row, column = self._row, self._column
        value, formula, inline = ("".join(self._texts[name]) if name in self._texts else None for name in ("v", "f", "t"))
        cell = cell_of(RawCell(self._kind, self._style, value, formula, inline), self._sheet)
        row.size_bytes += len(cell.text or "") + _CELL_BYTES
        is_beyond = self._held > self._limits.record_bytes or row.size_bytes > self._limits.record_bytes
        row.is_too_large = row.is_too_large or is_beyond or len(row.cells) >= self._limits.columns
        if cell.text is None and not row.is_too_large:
            return
        if column in row.cells or column >= _MOST_COLUMNS:
            row.has_repeated = True
        elif not row.is_too_large or not row.cells:
            row.cells[column] = cell
