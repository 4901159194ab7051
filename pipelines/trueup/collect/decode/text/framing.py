"""Framing: finds where the records of a text file lie between skipped lines, header records and trailer records.

Beginning and end are found before the first record is read. So a file without its trailer is refused before any record is ingested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from trueup.collect.decode.text.lines import BOM, Lines, lines_in
from trueup.collect.discover.units import Unit
from trueup.config.tables.of_source.framing import RECORDS, SUMMED
from trueup.errors import SourceError

_LINE_END = re.compile(rb"\r\n|\n|\r")
_LINE_BYTES = 1 << 20
"""Length of the longest line that is skipped or compared with a pattern."""
_TAIL_BYTES = 1 << 16
"""Bytes at the end of a file in which its trailers must lie."""
_MOST_HEADERS = 1_000
_MOST_DIGITS = 18
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Frame:
    """Where the records of a unit lie in its decompressed bytes, and what its header and trailer declare, by group.

    `is_shown`: the unit has a header or trailer record, so it may be complete without any record.
    """

    begin: int = 0
    end: int | None = None
    declared: dict[str, str] = field(default_factory=dict)
    is_shown: bool = False

    @property
    def records(self) -> int | None:
        """Number of records that header or trailer declare."""
        return int(self.declared[RECORDS]) if RECORDS in self.declared else None

    @property
    def sums(self) -> dict[str, str]:
        """Sums that header or trailer declare, by event column, in the file's notation."""
        return {name: self.declared[name] for name in SUMMED if name in self.declared}

    def cut(self, chunks: Iterable[bytes], reader: Callable[[Iterable[bytes]], Iterator[Lines]]) -> Iterator[Lines]:
        """Yield the records that `reader` finds in the framed bytes, with their offsets in the whole stream."""
        for piece in reader(self._cut_body(chunks)):
            yield replace(piece, offset=piece.offset + self.begin) if self.begin else piece

    def _cut_body(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        at = 0
        for chunk in chunks:
            until = len(chunk) if self.end is None else self.end - at
            if body := chunk[max(0, self.begin - at) : max(0, until)]:
                yield body
            at += len(chunk)
            if self.end is not None and at >= self.end:
                return


def frame_of(unit: Unit) -> Frame:
    """Find the frame of a unit; raise `SourceError` where skipped lines, the header or the trailer are missing or unreadable."""
    skipped, framing = unit.source.skip_lines, unit.source.framing
    if not skipped and framing is None:
        return Frame()
    declared = _Declared(unit)
    lines = _split_physical_lines(unit.stream())
    begin = _skip_lines(lines, skipped, unit)
    if framing is not None and framing.header is not None:
        begin = _find_end_of_headers(lines, begin, framing.header, declared)
    end = None if framing is None or framing.trailer is None else _find_begin_of_trailers(begin, framing.trailer, declared)
    return Frame(begin, end, declared.texts, is_shown=framing is not None)


@dataclass(frozen=True)
class _Line:
    """One physical line: its bytes without the line end, and where the next line begins. A long line has no bytes."""

    data: bytes | None
    next: int


def _split_physical_lines(chunks: Iterable[bytes]) -> Iterator[_Line]:
    r"""Yield the physical lines of a stream, also empty lines; they end at `\n`, `\r\n` or a lone `\r`. Stop after a long line."""
    held, at = b"", 0
    for chunk in chunks:
        held, begin = held + chunk, 0
        while (end := _LINE_END.search(held, begin)) is not None:
            # The `\n` of `\r\n` may be in the next chunk.
            if end[0] == b"\r" and end.end() == len(held):
                break
            yield _build_line(held[begin : end.start()], at + begin, at + end.end())
            begin = end.end()
        held, at = held[begin:], at + begin
        if len(held) > _LINE_BYTES:
            yield _Line(None, at + len(held))
            return
    if held:
        yield _build_line(held.removesuffix(b"\r"), at, at + len(held))


def _build_line(data: bytes, begin: int, until: int) -> _Line:
    return _Line(None if len(data) > _LINE_BYTES else data if begin else data.removeprefix(BOM), until)


def _skip_lines(lines: Iterator[_Line], count: int, unit: Unit) -> int:
    begin = 0
    for number in range(count):
        line = next(lines, None)
        if line is None or line.data is None:
            what = f"has only {number} lines" if line is None else f"has more than {_LINE_BYTES} bytes in line {number + 1}"
            raise SourceError(
                f"the file {what}, and skip_lines skips {count}", where=unit.shown,
                todo=f"check the file, and skip_lines of source {unit.source.name}",
            )  # fmt: skip
        begin = line.next
    return begin


class _Declared:
    """The declarations in a unit's header and trailer records, by pattern group; each group has one value."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.texts = unit, dict[str, str]()

    def match(self, pattern: str, line: bytes) -> bool:
        """Return whether a pattern matches a line, and keep the values of its groups; raise `SourceError` for an unusable value."""
        match = re.search(pattern, self.text(line))
        if match is None:
            return False
        for name, value in match.groupdict().items():
            if value is not None:
                self._keep_declared(name, value)
        return True

    def text(self, line: bytes) -> str:
        """Return a line as text."""
        return line.decode(self.unit.source.encoding, "replace")

    def refuse(self, name: str, what: str) -> SourceError:
        """Return the error for a file whose header or trailer differs from the configuration."""
        todo = f"have it delivered again, or correct {name} in [source.framing] of source {self.unit.source.name}"
        return SourceError(what, where=self.unit.shown, todo=todo)

    def _keep_declared(self, name: str, value: str) -> None:
        what = "numbers" if name == RECORDS else "sums"
        if name == RECORDS:
            if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS):
                raise self.refuse(
                    "the pattern", f"its header or trailer declares an invalid number of {name}: {value[:_SHOWN_CHARACTERS]!r}"
                )
            value = str(int(value))
        if self.texts.setdefault(name, value) != value:
            raise self.refuse(
                "the pattern", f"its headers and trailers declare two {what} of {name}: {self.texts[name]} and {value}"
            )


def _find_end_of_headers(lines: Iterator[_Line], begin: int, pattern: str, declared: _Declared) -> int:
    """Return where the last header record ends."""
    found, first = 0, b""
    for line in lines:
        first = first or line.data or b""
        # Empty lines are not records, either before or after a header.
        if line.data == b"":
            continue
        if line.data is None or not declared.match(pattern, line.data):
            break
        begin, found = line.next, found + 1
        if found > _MOST_HEADERS:
            raise declared.refuse("`header`", f"more than {_MOST_HEADERS} lines at its beginning are header records")
    if not found:
        shown = declared.text(first)[:_SHOWN_CHARACTERS]
        raise declared.refuse("`header`", f"the file does not begin with its header record; its first line is {shown!r}")
    return begin


def _find_begin_of_trailers(begin: int, pattern: str, declared: _Declared) -> int:
    """Return where the first trailer record begins."""
    offset, data = _read_tail(declared.unit, begin)
    if not offset and data.startswith(BOM):
        offset, data = len(BOM), data.removeprefix(BOM)
        begin = offset
    lines = lines_in(data, offset=offset, first_row=0)
    # The first line of the tail may lack its beginning.
    whole = range(0 if offset == begin else 1, len(lines))
    first = len(lines)
    while first - 1 in whole and declared.match(pattern, lines.raw(first - 1)):
        first -= 1
    if first == len(lines):
        shown = declared.text(lines.raw(first - 1))[:_SHOWN_CHARACTERS] if first else ""
        raise declared.refuse("`trailer`", f"the file does not end with its trailer record; its last line is {shown!r}")
    if first == whole.start > 0:
        raise declared.refuse("`trailer`", f"more than {_TAIL_BYTES} bytes at its end are trailer records")
    return offset + int(lines.starts[first])


def _read_tail(unit: Unit, begin: int) -> tuple[int, bytes]:
    """Return the last bytes of a unit from `begin` on, and the offset of the first."""
    if not unit.compression:
        offset = max(begin, unit.size_bytes - _TAIL_BYTES)
        return offset, unit.bytes_at(offset, max(0, unit.size_bytes - offset))
    tail, size = b"", 0
    for chunk in unit.stream():
        tail, size = (tail + chunk)[-_TAIL_BYTES:], size + len(chunk)
    offset = max(begin, size - len(tail))
    return offset, tail[len(tail) - (size - offset) :]
