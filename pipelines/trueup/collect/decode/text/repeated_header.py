"""Repeated headers: finds header lines among the records of a concatenated CSV file, so that none is read as a record.

A header with the same names in another order names the fields of the lines after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from trueup.collect.decode.text.csv import Dialect, parse_strictly, unique_names
from trueup.collect.decode.text.lines import BOM, DescribedLines, Lines
from trueup.errors import SourceError

_MOST_ORDERS = 1_000
"""Maximum number of changes of column order in one file; each change begins a new piece."""


@dataclass(frozen=True)
class NamedLines(DescribedLines):
    """Lines of a CSV file, and the names of their fields in order."""

    names: tuple[str, ...]

    def only(self, selection: slice) -> NamedLines:
        """Return the selected lines."""
        return replace(self, lines=self.lines.only(selection))


class Header:
    """The first header line of a file; it finds its repetitions among later lines."""

    def __init__(self, line: bytes, dialect: Dialect) -> None:
        self._dialect = dialect
        cells = self._split_cells(line) or ()
        self.names, self._sorted = unique_names(cells), sorted(cells)
        # A record always has a number or a time, so it can equal a header of numbers but not a header of words.
        self.is_recognisable = bool(cells) and all(cell[:1].isalpha() or cell[:1] == "_" for cell in cells)
        self.longest_name = max((cell.encode(dialect.encoding) for cell in cells), key=len, default=b"")
        least = sum(len(cell.encode(dialect.encoding)) + 1 for cell in cells) - 1
        self._lengths = least, max(len(line), least + 2 * len(cells)) + len(BOM)

    def named(self, pieces: Iterable[Lines], where: str) -> Iterator[NamedLines]:
        """Yield the lines that are not headers, numbered from 0, with the names of the latest header before them.

        Yield no empty piece.
        """
        names, row, orders = self.names, 0, 0
        for piece in pieces:
            found, begin = self._find_headers(piece), 0
            if not found:
                yield NamedLines(piece.renumbered(row - piece.first_row), names)
                row += len(piece)
                continue
            is_record = np.ones(len(piece), np.bool_)
            is_record[[at for at, _ in found]] = False
            for until, order in [*found, (len(piece), None)]:
                if order == names:
                    continue
                lines = piece.only(slice(begin, until)).only(is_record[begin:until])
                if len(lines):
                    yield NamedLines(replace(lines, rows=np.arange(row, row + len(lines))), names)
                row, begin = row + len(lines), until
                if order is not None:
                    names, orders = order, orders + 1
            if orders > _MOST_ORDERS:
                raise SourceError(
                    f"headers change the order of the columns more than {_MOST_ORDERS} times", where=where,
                    todo="have it delivered again, or set repeated_header = false",
                )  # fmt: skip

    def _find_headers(self, piece: Lines) -> list[tuple[int, tuple[str, ...]]]:
        """Return which lines are a header, and the names of each."""
        if piece.data.find(self.longest_name, int(piece.starts[0])) < 0:
            return []
        least, most = self._lengths
        lengths = piece.lengths
        found = []
        for index in np.flatnonzero((lengths >= least) & (lengths <= most)).tolist():
            cells = self._split_cells(line) if self.longest_name in (line := piece.raw(index)) else None
            if cells is not None and sorted(cells) == self._sorted:
                found.append((index, unique_names(cells)))
        return found

    def _split_cells(self, line: bytes) -> tuple[str, ...] | None:
        try:
            text = line.removeprefix(BOM).decode(self._dialect.encoding)
        except UnicodeDecodeError:
            return None
        cells = parse_strictly(text.encode(), self._dialect)
        return None if cells is None else tuple(cell.strip() for cell in cells)
