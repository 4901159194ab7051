"""Accounting files `detail` of RADIUS servers: a block of lines `Name = value` for each packet, separated by an empty line."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl

from trueup.collect.decode.decoded import Batch, concat_rejected, provenance_of, raw_of, reject, screen_lines, within_limit
from trueup.collect.decode.record_bytes import bounds_of, record_at
from trueup.collect.decode.text.lines import Block, Bounds, Lines, Mask, blocks, lines_in, lines_of
from trueup.collect.discover.units import Unit
from trueup.errors import SourceError
from trueup.events.reasons import Reason

HEADER = "header"
"""The column of the line above the attributes, which by default has the time of the packet."""
_BLOCK_BYTES = 1 << 20
_SHOWN_RECORDS = 1_000
RADIUS_ATTRIBUTE = re.compile(r"[ \t]+([A-Za-z0-9][\w.:\[\]-]*)[ \t]*(?:\+|:)?=[ \t]*(.*)")
"""An indented line: the name of an attribute, an operator and its value."""
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.S)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}

_Texts = dict[str, list[str]]
_Fault = tuple[Reason, str]


class DetailReader:
    """Reader of blocks of attributes; each block is a record."""

    declared_records: int | None = None
    declared_sums: Mapping[str, str] = {}

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def columns(self) -> Sequence[str]:
        """Return the attributes of the first records."""
        names = sorted({name for one in self._first for name in one})
        if not names:
            todo = f"correct `format` of source {self._unit.source.name}"
            raise SourceError("its first lines are not RADIUS attributes `Name = value`", where=self._unit.shown, todo=todo)
        return names

    @property
    def repeated(self) -> frozenset[str]:
        """The attributes that occur several times in one of the first records: if mapped, they would reject that record."""
        return frozenset(name for one in self._first for name, values in one.items() if len(values) > 1)

    @cached_property
    def _first(self) -> list[_Texts]:
        first = next(self.pieces(), None)
        if first is None:
            raise SourceError("the file has only empty lines", where=self._unit.shown, todo="have it delivered again")
        lines, _ = within_limit(first.only(slice(0, _SHOWN_RECORDS)), self._unit.limits.record_bytes)
        screened = screen_lines(lines, "utf-8").lines
        return [attributes_of(screened.raw(index).decode()) or {} for index in range(len(screened))]

    def pieces(self) -> Iterator[Lines]:
        """Yield the blocks."""
        return detail_blocks(self._unit.stream(), bounds_of(self._unit))

    def read(self, piece: Lines, mapped: Sequence[str], *, attributes: bool, kept: Collection[str] = ()) -> Batch:
        """Decode blocks; reject a block with a malformed line, too many attributes, or a repeated mapped attribute."""
        limits = self._unit.limits
        lines, too_long = within_limit(piece, limits.record_bytes)
        screened = screen_lines(lines, "utf-8")
        records = [attributes_of(screened.lines.raw(index).decode()) for index in range(len(screened.lines))]
        faults = [_find_fault(one, mapped, limits.columns) for one in records]
        rejected = [*too_long, *screened.rejected]
        for known in dict.fromkeys(fault for fault in faults if fault is not None):
            rejected.append(reject(screened.lines, np.array([fault == known for fault in faults], np.bool_), *known))
        good = [one for one, fault in zip(records, faults, strict=True) if one is not None and fault is None]
        sound = screened.lines.only(np.array([fault is None for fault in faults], np.bool_))
        fields = {name: [(one[name][0] or None) if name in one else None for one in good] for name in mapped}
        hidden = set(mapped).difference(kept)
        texts = [_build_object(one, hidden) if attributes else None for one in good]
        return Batch(
            pl.DataFrame(fields, schema=dict.fromkeys(mapped, pl.String())), pl.Series("attributes", texts, dtype=pl.String),
            provenance_of(sound), raw_of(sound), concat_rejected(rejected),
        )  # fmt: skip

    def at(self, row: int, offset: int, length: int | None) -> Lines:
        """Return one block."""
        return record_at(self._unit, row, offset, length or 0)


def detail_blocks(chunks: Iterable[bytes], bounds: Bounds) -> Iterator[Lines]:
    """Yield the blocks of a stream as records: a block begins at a line that is not indented, or after an empty line."""
    row, held = 0, Block(0, b"")
    for block in blocks(chunks, size_bytes=_BLOCK_BYTES, bounds=bounds):
        joined = Block(held.offset if held.data else block.offset, held.data + (b"" if block.unread_bytes else block.data))
        records, used = _cut_records(joined, bounds, first_row=row, is_last=bool(block.unread_bytes))
        held = Block(joined.offset + used, joined.data[used:])
        # A line that is too long becomes a record of its own.
        long = [lines_of(block, first_row=row + len(records))] if block.unread_bytes else []
        for piece in (records, *long):
            row += len(piece)
            if len(piece):
                yield piece
    records, _ = _cut_records(held, bounds, first_row=row, is_last=True)
    if len(records):
        yield records


def _cut_records(block: Block, bounds: Bounds, *, first_row: int, is_last: bool) -> tuple[Lines, int]:
    """Return the complete records of a block, and how many bytes they take; the last record may continue in the next block."""
    lines = lines_in(block.data, offset=block.offset, first_row=0)
    if not len(lines):
        return lines, len(block.data)
    begins = np.flatnonzero(_begins_record(lines))
    starts, ends = lines.starts[begins], lines.ends[np.append(begins[1:], len(lines)) - 1]
    # A record without an end is too long; the bytes held of it become a record, which is rejected.
    complete = len(starts) if is_last or len(block.data) - int(starts[-1]) > bounds.record_bytes else len(starts) - 1
    used = len(block.data) if complete == len(starts) else int(starts[complete])
    rows = np.arange(first_row, first_row + complete)
    return Lines(block.data, block.offset, starts[:complete], ends[:complete], rows), used


def _begins_record(lines: Lines) -> Mask:
    codes, ends = lines.codes, lines.ends[:-1]
    is_indented = np.isin(codes[lines.starts], list(b" \t"))
    gaps = lines.starts[1:] - ends
    # Two equal line ends in a row leave an empty line; \r\n is one.
    is_after_empty = (gaps > 2) | ((gaps == 2) & (codes[ends] == codes[ends + 1]))
    begins: Mask = ~is_indented
    begins[0] = True
    begins[1:] |= is_after_empty
    return begins


def attributes_of(block: str) -> _Texts | None:
    r"""Return the values of a block by attribute; None where a line is not an attribute.

    >>> attributes_of('Fri May  3 10:05:00 2024\n\tUser-Name = "a\\"b"\n\tClass = 0x01')
    {'header': ['Fri May  3 10:05:00 2024'], 'User-Name': ['a"b'], 'Class': ['0x01']}
    """
    first, *rest = re.split(r"[\r\n]+", block)
    found: _Texts = {}
    if first[:1] not in (" ", "\t"):
        found[HEADER] = [first]
    else:
        rest.insert(0, first)
    for line in rest:
        match = RADIUS_ATTRIBUTE.fullmatch(line)
        if match is None:
            return None
        found.setdefault(match[1], []).append(_decode_value(match[2].rstrip()))
    return found if rest else None


def _decode_value(text: str) -> str:
    """Return a value without its quotes and escapes; a value with invalid escapes stays as written."""
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    plain = _ESCAPED.sub(_unescape_match, inner.encode())
    try:
        decoded = plain.decode()
    except UnicodeDecodeError:
        return inner
    return inner if "\0" in decoded else decoded


def _unescape_match(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes([int(escaped, 8) & 0xFF]) if len(escaped) == 3 else _LETTERS.get(escaped, escaped)


def _find_fault(one: _Texts | None, mapped: Sequence[str], most: int) -> _Fault | None:
    if one is None:
        return "unparsable", "block: each line below the first is `Name = value`"
    if len(one) > most:
        return "over_limit", f"block: has at most {most} attributes (columns in [limits])"
    name = next((name for name in mapped if len(one.get(name, ())) > 1), None)
    return None if name is None else ("unparsable", f"block: has {name} once")


def _build_object(texts: _Texts, hidden: Collection[str]) -> str | None:
    """Return the values that are not hidden as a JSON object, several values of one attribute as a list; None without values."""
    shown = {name: values[0] if len(values) == 1 else values for name, values in texts.items() if name not in hidden}
    shown = {name: value for name, value in shown.items() if value != ""}
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")) if shown else None
