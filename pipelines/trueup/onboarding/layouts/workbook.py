"""Layout of a workbook: its sheet, and the rows above the header row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trueup.collect.decode.workbook.package import visible_sheets
from trueup.collect.decode.workbook.reader import WorkbookReader
from trueup.collect.discover.units import sample_unit
from trueup.config import SourceConfig
from trueup.onboarding.evidence import Fit, Line
from trueup.onboarding.layouts.csv import Grid, header_lines, leading
from trueup.onboarding.layouts.layout import Layout, values_of
from trueup.onboarding.sample import Sample
from trueup.regular import open_regular

_ROWS = 500
_MOST_SHEETS = 20


@dataclass(frozen=True)
class _Sheet:
    """The first rows of a sheet as texts, each with its number in the sheet."""

    name: str
    rows: list[tuple[int, list[str]]]

    @property
    def width(self) -> int:
        """The usual number of cells in a row up to its last non-empty cell."""
        return Counter(len(cells) for _, cells in self.rows if len(cells) > 1).most_common(1)[0][0] if self.is_table else 0

    @property
    def is_table(self) -> bool:
        """Whether some row has two cells."""
        return any(len(cells) > 1 for _, cells in self.rows)


def workbook_layout(sample: Sample) -> Layout:
    """Return the layout of a workbook; raise `SourceError` where it cannot be read."""
    with open_regular(sample.path) as handle:
        unit = sample_unit(_build_source({}), sample.path, handle, sample.size_bytes)
        names = visible_sheets(unit)
    sheets = [_read_sheet(sample, name) for name in names[:_MOST_SHEETS]]
    best = max(sheets, key=lambda sheet: (sheet.width > 1, len(sheet.rows) * sheet.width))
    lines = [Line("format", "xlsx", "the file is a workbook")]
    if len(names) > 1:
        lines.append(Line("sheet", best.name, f"of {len(names)} sheets ({', '.join(names[:5])}) it has most cells", check=True))
    if not best.is_table:
        return Layout("xlsx", b"", values_of(lines), lines)
    grid = Grid(",", '"', [_pad_row(cells, best.width) for _, cells in best.rows], best.width, Fit(0, 0))
    first, _ = leading(grid)
    number = best.rows[first][0]
    if first:
        lines.append(Line("skip_lines", number - 1, f"the column names are in row {number} of the sheet", check=True))
    body = [cells for cells in grid.cells[first:] if cells]
    lines += header_lines(Grid(",", '"', body, best.width, Fit(0, 0)))
    return Layout("xlsx", b"", values_of(lines), lines)


def _pad_row(cells: list[str], width: int) -> list[str]:
    """Return a row padded to the usual width; a row with a single cell, such as a title, stays short."""
    return cells + [""] * (width - len(cells)) if len(cells) > 1 else cells


def _build_source(settings: dict[str, object]) -> SourceConfig:
    base = {"name": "sample", "stream": "usage", "path": "sample", "identity": "content", "format": "xlsx"}
    return SourceConfig.model_validate(base | settings)


def _read_sheet(sample: Sample, name: str) -> _Sheet:
    """Return the first rows of a sheet."""
    rows: list[tuple[int, list[str]]] = []
    with open_regular(sample.path) as handle:
        unit = sample_unit(_build_source({"header": False, "sheet": name}), sample.path, handle, sample.size_bytes)
        if not (numbered := WorkbookReader.first_rows(unit, _ROWS)):
            return _Sheet(name, rows)
        for row in numbered:
            texts = {column: (cell.text or "").strip() for column, cell in row.cells.items()}
            last = max((column for column, text in texts.items() if text), default=-1)
            if last >= 0:
                rows.append((row.number, [texts.get(column, "") for column in range(last + 1)]))
    return _Sheet(name, rows)
