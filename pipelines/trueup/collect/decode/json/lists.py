"""Lists in lines: each line is a JSON object, and the items of a list inside it are the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from trueup.collect.decode.decoded import screen_lines
from trueup.collect.decode.json.document import DocumentScan
from trueup.collect.decode.json.members import Paths, brackets_of, is_object, strings_of
from trueup.collect.decode.json.spans import stripped
from trueup.collect.decode.text.lines import Bounds, Lines, Offsets

_COMMA, _OPEN_LIST = b",["
_LONG_BYTES, _CHUNK_BYTES = 1 << 20, 1 << 20
"""A longer line is read chunk by chunk: the positions of all its members would need many times its size."""


def listed_items(pieces: Iterable[Lines], path: Sequence[str], record_bytes: int) -> Iterator[Lines]:
    """Yield the items of the list at `path` of each line as records, numbered from 0.

    An object instead of the list is one record. A scalar counts as one record too, and the decoder rejects it. A line without the
    list has no record. A line that is not a JSON object, or is longer than `record_bytes`, is itself a record that the decoder
    rejects.
    """
    row = 0
    for lines in pieces:
        for records in _cut_records(lines, path, record_bytes):
            yield replace(records, rows=np.arange(row, row + len(records)))
            row += len(records)


def _cut_records(lines: Lines, path: Sequence[str], record_bytes: int) -> Iterator[Lines]:
    is_long = len(lines) == 1 and _LONG_BYTES < lines.lengths[0] <= record_bytes
    if is_long and (records := list_of_long_line(lines, path)) is not None:
        yield from records
        return
    starts, ends = _find_spans(lines, path, record_bytes)
    if len(starts):
        yield replace(lines, starts=starts, ends=ends, rows=np.arange(len(starts)))


def list_of_long_line(line: Lines, path: Sequence[str]) -> Iterator[Lines] | None:
    """Return the records of one line, read chunk by chunk like a document; None for a line whose brackets are not closed."""
    data, begin, end = line.data, int(line.starts[0]), int(line.ends[0])
    bounds = Bounds(len(data), len(data))

    def scanned(scan: DocumentScan) -> Iterator[Lines]:
        chunks = (data[at : min(at + _CHUNK_BYTES, end)] for at in range(begin, end, _CHUNK_BYTES))
        return (replace(piece, offset=piece.offset + begin + line.offset) for piece in scan.records(chunks))

    check = DocumentScan(path, bounds)
    for _ in scanned(check):
        pass
    return scanned(DocumentScan(path, bounds)) if check.is_closed else None


def _find_spans(lines: Lines, path: Sequence[str], record_bytes: int) -> tuple[Offsets, Offsets]:
    """Return where the records of lines begin and end in their block."""
    good = lines.only(lines.lengths <= record_bytes)
    good = screen_lines(good, "utf-8").lines
    good = good.only(is_object(good))
    is_good = np.isin(lines.rows, good.rows)
    starts, ends, is_string = Paths(good).cells(path)[:3]
    # The cell of a text lacks its quotes.
    starts, ends = starts - is_string, ends + is_string
    has_value = ends > starts
    starts, ends = starts[has_value], ends[has_value]
    is_list = good.codes[starts] == _OPEN_LIST
    item_starts, item_ends = items_of(replace(good, starts=starts[is_list], ends=ends[is_list], rows=np.arange(is_list.sum())))
    begins = np.concatenate([lines.starts[~is_good], starts[~is_list], item_starts])
    order = np.argsort(begins, kind="stable")
    return begins[order], np.concatenate([lines.ends[~is_good], ends[~is_list], item_ends])[order]


def items_of(lists: Lines) -> tuple[Offsets, Offsets]:
    """Return where the items of valid JSON lists begin and end, without blanks around them."""
    opens, closes = strings_of(lists)
    brackets, depth = brackets_of(lists, opens, closes)
    commas = np.flatnonzero(lists.codes == _COMMA)
    line = np.searchsorted(lists.ends, commas, side="right")
    commas, line = commas[line < len(lists)], line[line < len(lists)]
    commas = commas[lists.starts[line] < commas]
    string = np.searchsorted(opens, commas, side="right") - 1
    if len(opens):
        commas = commas[~((string >= 0) & (commas < closes[np.maximum(string, 0)]))]
    commas = commas[depth[np.searchsorted(brackets, commas) - 1] == 1]
    starts = np.sort(np.concatenate([lists.starts + 1, commas + 1]))
    return stripped(lists.codes, starts, np.sort(np.concatenate([commas, lists.ends - 1])))
