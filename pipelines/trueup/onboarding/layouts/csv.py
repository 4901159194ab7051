"""Layout of CSV: delimiter, quotes, header line, and first and last lines that are no records."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from trueup.collect.decode.text.asterisk import FIELDS
from trueup.collect.decode.thread_connection import own_connection
from trueup.onboarding.evidence import Fit, Line, assumed, supported
from trueup.onboarding.layouts.layout import Layout, TextSample, values_of
from trueup.onboarding.sample import Sample

_DELIMITERS = (",", ";", "\t", "|", "~", "^", "\x01")
_MOST_TITLES, _MOST_TRAILERS = 20, 3
_HEADER_TOKEN = re.compile(r"(?i)^(hdr|header|head|fhdr|fh|bof|begin|hd|h|00)$")
_TRAILER_TOKEN = re.compile(r"(?i)^(trl|trailer|trlr|tail|eof|end|footer|ftr|ft|tr|t|sum|total|totals|summe|gesamt|99)$")
DISPOSITIONS = {"ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"}
_ASTERISK_START = re.compile(r"^\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}:\d{2}$")
_NAME = re.compile(r"^[^\W\d][^\r\n]*$")
_NUMBER = re.compile(r"^[-+(]?[€$£¥]?\s?[0-9][0-9.,' ]*[-)%]?$")
_CLOCK = re.compile(r"\d:\d{2}|\d{4}-\d{2}-\d{2}|\d{2}\.\d{2}\.\d{4}|\d{1,2}/\d{1,2}/\d{2,4}")


@dataclass(frozen=True)
class Grid:
    """Lines cut into cells: `width` is the usual number of cells."""

    delimiter: str
    quote: str
    cells: list[list[str]]
    width: int
    fit: Fit


def csv_layout(sample: Sample, text: TextSample) -> Layout | None:
    """Return the layout of delimited text; None where no delimiter cuts its lines."""
    rows, encoding = text.rows, (text.encoding, text.encoded)
    grid, is_multiline = _find_grid(text.texts)
    if grid is None:
        return None
    if _is_asterisk(grid):
        fit = Fit(sum(len(cells) == len(FIELDS) for cells in grid.cells), len(grid.cells))
        line = supported("format", "asterisk", fit, f"lines have the {len(FIELDS)} fields of cdr_custom")
        return Layout("asterisk", sample.data, {"format": "asterisk"} | values_of(encoding[1]), [line, *encoding[1]])
    first, lead = leading(grid)
    ends = _Ends(sample, grid, encoding[0])
    last, trail = (len(rows), []) if is_multiline else ends.trailing(rows, first)
    body_cells = [cells for cells in grid.cells[first : len(grid.cells) if is_multiline else last] if cells]
    header = header_lines(replace(grid, cells=body_cells))
    fit = Fit(sum(len(cells) == grid.width for cells in body_cells), len(body_cells))
    dialect = [supported("delimiter", grid.delimiter, fit, f"lines have {grid.width} fields")]
    if grid.quote != '"':
        dialect.append(assumed("quote", grid.quote, "found by the fields that it encloses"))
    if is_multiline:
        dialect.append(Line("quoted_newlines", True, "fields in quotes hold line ends", check=True))
    lines = [*dialect, *header, *encoding[1]]
    framing = [line for line in (*lead, *trail) if line.key in ("header", "trailer")]
    skipped = [line for line in lead if line.key == "skip_lines"]
    body = b"".join(rows[first:last])
    return Layout("csv", body, {"format": "csv"} | values_of(lines), [*lines, *skipped], framing)


def _find_grid(texts: list[str]) -> tuple[Grid | None, bool]:
    """Return the lines cut by the delimiter that fits most of them, and whether quoted fields span lines."""
    sniffed = _sniff_dialect(texts)
    quote = "'" if sniffed.get("quote") == "'" and not any('"' in text for text in texts) else '"'
    delimiters = dict.fromkeys([*([sniffed["delimiter"]] if "delimiter" in sniffed else []), *_DELIMITERS])
    grids = [grid for delimiter in delimiters if (grid := _cut_lines(texts, delimiter, quote)) is not None]
    if not grids:
        return None, False
    best = max(grids, key=lambda grid: (round(grid.fit.share, 1), grid.width, grid.delimiter == sniffed.get("delimiter")))
    open_quotes = sum(text.count(quote) % 2 for text in texts)
    if open_quotes < 2:
        return best, False
    joined = list(csv.reader([text + "\n" for text in texts], delimiter=best.delimiter, quotechar=quote))
    wide = sum(len(cells) == best.width for cells in joined)
    return (replace(best, cells=joined, fit=Fit(wide, len(joined))), True) if wide * 10 >= len(joined) * 9 else (best, False)


def _sniff_dialect(texts: list[str]) -> dict[str, str]:
    """Return delimiter and quote as DuckDB detects them; None where it detects none."""
    with tempfile.TemporaryDirectory(prefix="trueup-sample-") as folder:
        path = Path(folder) / "sample.csv"
        path.write_text("\n".join(texts) + "\n", "utf-8", "replace")
        try:
            row = own_connection().execute("SELECT Delimiter, Quote FROM sniff_csv($path)", {"path": str(path)}).fetchone()
        except duckdb.Error:
            return {}
    delimiter, quote = row or ("", "")
    is_usable = len(delimiter) == 1 and delimiter.isascii() and not delimiter.isalnum() and delimiter not in " .:-_/"
    return {"delimiter": delimiter, "quote": quote} if is_usable else {}


def _cut_lines(texts: list[str], delimiter: str, quote: str) -> Grid | None:
    cells = [_split_cells(text, delimiter, quote) for text in texts]
    widths = Counter(len(row) for row in cells if row)
    wide = Counter({width: count for width, count in widths.items() if width > 1})
    if not wide:
        return None
    width, count = wide.most_common(1)[0]
    return Grid(delimiter, quote, cells, width, Fit(count, widths.total()))


def _split_cells(text: str, delimiter: str, quote: str) -> list[str]:
    if not text.strip():
        return []
    try:
        return next(csv.reader([text], delimiter=delimiter, quotechar=quote, skipinitialspace=False), [])
    except csv.Error:
        return [text]


def _is_asterisk(grid: Grid) -> bool:
    full = [cells for cells in grid.cells if len(cells) == len(FIELDS)]
    disposition = FIELDS.index("disposition")
    known = [cells for cells in full if _ASTERISK_START.match(cells[0]) and cells[disposition] in DISPOSITIONS]
    return len(full) * 2 > len(grid.cells) and len(known) * 10 >= len(full) * 9


def leading(grid: Grid) -> tuple[int, list[Line]]:
    """Return the number of lines before the column names or the first record, and the lines that declare them."""
    cells = grid.cells
    first = next((at for at, row in enumerate(cells[:_MOST_TITLES]) if len(row) == grid.width and not _is_title(cells, at)), 0)
    if not first:
        return 0, []
    tokens = {row[0].strip() for row in cells[:first] if row}
    if len(tokens) == 1 and _HEADER_TOKEN.match(token := tokens.pop()):
        fit = Fit(sum(bool(row) and row[0].strip() == token for row in cells), 1)
        pattern = f"^{re.escape(token)}({re.escape(grid.delimiter)}|$)"
        return first, [Line("header", pattern, f"the file begins with the record {token}", check=fit.count != first)]
    lines = "line has" if first == 1 else f"{first} lines have"
    return first, [Line("skip_lines", first, f"the first {lines} other fields than the {grid.width} of the records", check=True)]


def _is_title(cells: list[list[str]], at: int) -> bool:
    """Return whether a line of the usual width is a header record or title: most cells are empty, unlike those below."""
    row, below = cells[at], cells[at + 1] if at + 1 < len(cells) else []
    if len(row) == len(below) and _HEADER_TOKEN.match(row[0].strip()) and any(shape_of_cell(cell) == "number" for cell in row):
        return True
    return len(row) > 2 and sum(map(bool, row)) * 2 < len(row) and len(below) == len(row) and all(below)


def header_lines(grid: Grid) -> list[Line]:
    """Return the line that declares that there are no column names; none where the first line has them."""
    names = [cell.strip() for cell in grid.cells[0]]
    records = [row for row in grid.cells[1:] if len(row) == len(names) and row != grid.cells[0]]
    filled = [name for name in names if name]
    like_names = bool(filled) and all(shape_of_cell(name) == "text" for name in filled) and len(set(filled)) * 2 > len(filled)
    if not records:
        return [] if like_names else [Line("header", False, "the first line has values, not names")]
    typed = [
        at
        for at in range(len(names))
        if Counter(shape_of_cell(row[at]) for row in records).most_common(1)[0][0] in ("number", "time")
    ]
    named = [at for at in typed if shape_of_cell(names[at]) == "text"]
    if len(named) * 2 > len(typed) or (not typed and like_names):
        return []
    return [
        Line("header", False, f"the first line has {len(typed) - len(named)} of {len(typed)} columns like the records below it")
    ]


def shape_of_cell(cell: str) -> str:
    """Return the apparent type of a cell: empty, time, number or text."""
    text = cell.strip()
    if not text:
        return "empty"
    if _CLOCK.search(text):
        return "time"
    return "number" if _NUMBER.match(text) or re.fullmatch(r"\+?[0-9][0-9 ()/.-]*", text) else "text"


@dataclass(frozen=True)
class _Ends:
    """The end of a sample's file: trailer records, and the number of records that they declare."""

    sample: Sample
    grid: Grid
    encoding: str

    def trailing(self, rows: list[bytes], first: int) -> tuple[int, list[Line]]:
        """Return the number of lines up to the last record, and the line that declares the trailer."""
        last = self._find_filled(rows)
        # The tail has the end of a longer plain file; a compressed file is not read to its end.
        end = rows if self.sample.is_whole else self.sample.tail.splitlines(keepends=True)[1:]
        found = self._find_trailers([self._cut_row(end[at]) for at in self._find_filled(end)])
        if not found:
            return len(rows), []
        until = last[-len(found)] if self.sample.is_whole else len(rows)
        records = sum(bool(row.strip()) for row in rows[first:until]) if self.sample.is_whole else None
        return until, [self._propose_trailer(found[0], records)]

    def _find_filled(self, rows: list[bytes]) -> list[int]:
        return [at for at in range(max(0, len(rows) - 50), len(rows)) if rows[at].strip()]

    def _cut_row(self, row: bytes) -> list[str]:
        return _split_cells(row.decode(self.encoding, "replace").rstrip("\r\n"), self.grid.delimiter, self.grid.quote)

    def _find_trailers(self, ends: list[list[str]]) -> list[list[str]]:
        found: list[list[str]] = []
        for cells in reversed(ends[1:]):
            if len(found) == _MOST_TRAILERS or not self._is_trailer(cells):
                break
            found.insert(0, cells)
        return found

    def _is_trailer(self, cells: list[str]) -> bool:
        token = cells[0].strip()
        if not token or sum(bool(row) and row[0].strip() == token for row in self.grid.cells) > 1:
            return False
        if len(cells) != self.grid.width:
            return bool(_TRAILER_TOKEN.match(token)) or (token.isalpha() and len(cells) > 1)
        records = [row for row in self.grid.cells[1:] if len(row) == self.grid.width and row != cells]
        if not records:
            return False
        columns = list(zip(*records, strict=True))
        shapes = [Counter(map(shape_of_cell, column)).most_common(1)[0][0] for column in columns]
        others = sum(shape_of_cell(cell) != shape for cell, shape in zip(cells, shapes, strict=True))
        return bool(_TRAILER_TOKEN.match(token)) and others * 2 >= len(shapes)

    def _propose_trailer(self, cells: list[str], records: int | None) -> Line:
        token, mark = re.escape(cells[0].strip()), re.escape(self.grid.delimiter)
        numbers = {at: int(cell) for at, cell in enumerate(cells) if at and re.fullmatch(r"\s*[0-9]{1,18}\s*", cell)}
        has_header = not header_lines(replace(self.grid, cells=self.grid.cells[leading(self.grid)[0] :]))
        if records is not None and has_header:
            records -= 1
        count = next((at for at, number in numbers.items() if number == records), None)
        near = [at for at, number in numbers.items() if records and records / 2 <= number <= records * 2]
        at = count if count is not None else min(near, key=lambda at: abs(numbers[at] - (records or 0)), default=None)
        if at is None:
            pattern = f"^{token}({mark}|$)"
            return Line("trailer", pattern, "the last record; its number of records was not found", check=True)
        between = f"{mark}[^{mark}]*" * (at - 1)
        pattern = f"^{token}{between}{mark}\\s*(?P<records>[0-9]+)"
        return Line("trailer", pattern, f"it declares {numbers[at]:,} records, the file has {records:,}", check=count is None)
