"""Reader of workbooks: one sheet, whose first row names the columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import PROVENANCE, Batch, concat_rejected, json_objects
from trueup.collect.decode.text.csv import unique_names
from trueup.collect.decode.text.lines import Offsets
from trueup.collect.decode.workbook.cells import FAULTS, Cell
from trueup.collect.decode.workbook.package import Workbook
from trueup.collect.decode.workbook.rows import SheetRow, check_sheet, column_letters, sheet_rows
from trueup.collect.discover.units import Unit
from trueup.errors import SourceError
from trueup.events.reasons import Reason

_PIECE_ROWS, _PIECE_BYTES = 1 << 12, 2 << 20
_EMPTY = Cell(None)


@dataclass(frozen=True)
class SheetRows:
    """Consecutive records of a sheet, with the names of its columns; `first_row` is the number of the first one in the unit."""

    names: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    first_row: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def held_bytes(self) -> Offsets:
        """Bytes of each record that are in memory."""
        return np.fromiter((row.size_bytes for row in self.rows), np.int64, len(self.rows))

    def only(self, selection: slice) -> SheetRows:
        """Return the selected rows."""
        first, _, _ = selection.indices(len(self.rows))
        return replace(self, rows=self.rows[selection], first_row=self.first_row + first)

    def raw(self, selection: Sequence[int]) -> list[bytes]:
        """Return rows as JSON objects of their cells as text: a row of a sheet has no bytes of its own."""
        return [json.dumps(self._name_texts(self.rows[at]), ensure_ascii=False, separators=(",", ":")).encode() for at in selection]

    def _name_texts(self, row: SheetRow) -> dict[str, str | None]:
        names = self.names
        return {
            names[column] if column < len(names) else column_letters(column): cell.text
            for column, cell in sorted(row.cells.items())
        }


class WorkbookReader:
    """Reader of one sheet of a workbook; rows are numbered as in the sheet, and empty rows are not records.

    `source_offset` is the number of the row in the sheet.
    """

    declared_records: int | None = None
    declared_sums: Mapping[str, str] = {}

    def __init__(self, unit: Unit) -> None:
        if unit.compression:
            todo = "decompress it"
            raise SourceError(f"a workbook must not be {unit.compression}-compressed as a whole", where=unit.shown, todo=todo)
        self._unit, self._book = unit, Workbook(unit)
        # A damaged sheet is refused before any of its rows is ingested.
        check_sheet(self._book, unit.shown)
        first = next(self._read_rows(), None)
        if first is None:
            raise SourceError("the sheet has no rows", where=unit.shown, todo=f"check `sheet` of source {unit.source.name}")
        width = max(first.cells) + 1
        self._header_row = first.number if unit.source.header else 0
        if unit.source.header:
            cells = [(first.cells.get(column, _EMPTY).text or "").strip() or column_letters(column) for column in range(width)]
            self._names = unique_names(cells)
        else:
            self._names = tuple(str(number + 1) for number in range(width))

    @staticmethod
    def first_rows(unit: Unit, count: int) -> list[SheetRow]:
        """Return the first rows of a sheet without checking their content; an empty sheet has none."""
        return list(islice(sheet_rows(Workbook(unit), unit.limits, unit.shown), count))

    def columns(self) -> Sequence[str]:
        """Return the names of the header row, the letters of columns without a name, or the numbers of columns from 1."""
        return self._names

    def pieces(self) -> Iterator[SheetRows]:
        """Yield the rows after the header row."""
        held: list[SheetRow] = []
        number = size = 0
        for row in self._read_rows():
            if row.number == self._header_row:
                continue
            held.append(row)
            size += row.size_bytes
            if len(held) >= _PIECE_ROWS or size >= _PIECE_BYTES:
                yield SheetRows(self._names, tuple(held), number)
                number, size, held = number + len(held), 0, []
        if held:
            yield SheetRows(self._names, tuple(held), number)

    def read(self, piece: SheetRows, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode rows; reject a row with a mapped cell that has no exact value, or with cells beyond the columns."""
        names = self._names if attributes else tuple(mapped)
        columns = {name: at for at, name in enumerate(self._names)}
        wanted = [(columns[name], name) for name in mapped]
        refusals = [self._find_refusal(row, wanted) for row in piece.rows]
        good = [at for at, refusal in enumerate(refusals) if refusal is None]
        bad = [at for at, refusal in enumerate(refusals) if refusal is not None]
        cells = [piece.rows[at].cells for at in good]
        fields = pl.DataFrame(
            {name: [row.get(columns[name], _EMPTY).text for row in cells] for name in names},
            schema=dict.fromkeys(names, pl.String()),
        )
        provenance = _build_provenance(piece)
        reasons = [refusal for refusal in refusals if refusal is not None]
        rejected = provenance[bad].with_columns(
            raw=pl.Series(piece.raw(bad), dtype=pl.Binary), reason=pl.Series([reason for reason, _ in reasons], dtype=pl.String),
            rule=pl.Series([rule for _, rule in reasons], dtype=pl.String),
        )  # fmt: skip
        others = [name for name in names if name not in set(mapped).difference(kept)] if attributes else []
        typed = {name: np.fromiter((row.get(at, _EMPTY).is_number for row in cells), np.bool_, len(cells)) for at, name in wanted}
        return Batch(
            fields.select(mapped), json_objects(fields.select(others), height=len(good)), provenance[good],
            lambda selected: piece.raw([good[at] for at in selected]), concat_rejected([rejected]), typed,
        )  # fmt: skip

    def at(self, row: int, offset: int, length: int | None) -> SheetRows:
        """Return the row with this number in the sheet."""
        found = next((one for one in self._read_rows() if one.number >= offset), None)
        if found is None or found.number != offset:
            raise SourceError(f"the sheet has no row {offset}", where=self._unit.shown)
        return SheetRows(self._names, (found,), row)

    def _find_refusal(self, row: SheetRow, wanted: Sequence[tuple[int, str]]) -> tuple[Reason, str] | None:
        limits = self._unit.limits
        if row.is_too_large:
            return (
                "over_limit",
                f"row: has at most {limits.record_bytes} bytes and {limits.columns} cells (record_bytes, columns in [limits])",
            )
        if row.has_repeated:
            return "unparsable", "row: has one cell in each column"
        if max(row.cells) >= len(self._names):
            return "wrong_field_count", f"row: has no cell beyond the column {column_letters(len(self._names) - 1)}"
        for column, name in wanted:
            fault = row.cells.get(column, _EMPTY).fault
            if fault is not None:
                reason, rule = FAULTS[fault]
                return reason, f"{name}: {rule}"
        return None

    def _read_rows(self) -> Iterator[SheetRow]:
        rows = sheet_rows(self._book, self._unit.limits, self._unit.shown)
        return (row for row in rows if row.number > self._unit.source.skip_lines)


def _build_provenance(piece: SheetRows) -> pl.DataFrame:
    columns = {
        "source_row": range(piece.first_row, piece.first_row + len(piece)), "source_offset": [row.number for row in piece.rows],
        "source_length": [None] * len(piece),
    }  # fmt: skip
    return pl.DataFrame(columns, schema=PROVENANCE)
