"""Physical lines: finds where each record lies in a block of bytes, before anything is parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK_BYTES = 4 << 20
"""Bytes read before lines are searched: large enough to vectorise, small enough for the cache."""

MOST_MARKS = 1 << 18
"""Maximum number of line ends and field separators processed at once; the memory that a block needs grows with them."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Lines:
    """Records of a unit, as offsets into a block of its decompressed bytes.

    Record `i` is `data[starts[i]:ends[i]]`, without its line end. The block begins at byte `offset` of the stream; `first_row` is
    the number of its first record in the unit. The numbers of rejected records are skipped; `rows` has the number of each remaining
    record. A record that is too long for memory has a block of its own, with its beginning but without its last `unread_bytes`.
    """

    data: bytes
    offset: int
    starts: Offsets
    ends: Offsets
    rows: Offsets
    unread_bytes: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, selection: Mask | slice) -> Lines:
        """Return the selected lines."""
        return replace(self, starts=self.starts[selection], ends=self.ends[selection], rows=self.rows[selection])

    @property
    def first_row(self) -> int:
        """Number of the first record in its unit."""
        return int(self.rows[0])

    def renumbered(self, by: int) -> Lines:
        """Return the same lines with `by` added to their numbers."""
        return replace(self, rows=self.rows + by)

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """The block as an array of byte values."""
        return np.frombuffer(self.data, np.uint8)

    @property
    def lengths(self) -> Offsets:
        """Length of each record in the unit, in bytes."""
        return self.ends - self.starts + self.unread_bytes

    @property
    def held_bytes(self) -> Offsets:
        """Bytes of each record that are in memory."""
        return self.ends - self.starts

    def raw(self, index: int) -> bytes:
        """Return one record's bytes, or as many of them as are in memory."""
        return self.data[int(self.starts[index]) : int(self.ends[index])]


@dataclass(frozen=True)
class DescribedLines:
    """Lines together with further values that decoding needs; subclasses define the values."""

    lines: Lines

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def first_row(self) -> int:
        """Number of the first record in its unit."""
        return self.lines.first_row

    @property
    def held_bytes(self) -> Offsets:
        """Bytes of each record that are in memory."""
        return self.lines.held_bytes


@dataclass(frozen=True)
class Bounds:
    """Maximum length of a record, and the number of bytes held of a longer one."""

    record_bytes: int
    kept_bytes: int

    @property
    def longest_bytes(self) -> int:
        """Number of bytes of a line that are read before it counts as too long."""
        return max(self.record_bytes, self.kept_bytes)


@dataclass(frozen=True)
class Block:
    """Bytes of a stream beginning at `offset`: whole lines, or the beginning of one line that has `unread_bytes` more."""

    offset: int
    data: bytes
    unread_bytes: int = 0


def blocks(chunks: Iterable[bytes], *, size_bytes: int, bounds: Bounds) -> Iterator[Block]:
    """Join a stream's chunks to blocks that end at a line end; the last one ends with the stream.

    A byte order mark at the start is omitted. Of a line that is longer than both a block and `record_bytes`, only the beginning is
    held.
    """
    offset, held, held_bytes = 0, list[bytes](), 0
    is_first = True
    remaining = iter(chunks)
    while (chunk := next(remaining, None)) is not None:
        held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes < max(size_bytes, len(BOM)):
            continue
        joined = b"".join(held)
        if is_first and joined.startswith(BOM):
            joined, offset = joined[3:], 3
        is_first = False
        cut = max(joined.rfind(b"\n"), joined.rfind(b"\r")) + 1
        if cut:
            yield Block(offset, joined[:cut])
            offset += cut
        elif len(joined) > bounds.longest_bytes:
            long, cut, joined = _cut_long_line(joined, remaining, bounds.kept_bytes, offset)
            yield long
            offset += cut
            cut = 0
        held, held_bytes = [joined[cut:]], len(joined) - cut
        # Joining a line that fills a block again with every chunk would take quadratic time.
        size_bytes = max(size_bytes, min(2 * held_bytes, bounds.longest_bytes + 1))
    last = b"".join(held)
    if is_first and last.startswith(BOM):
        last, offset = last[3:], 3
    if last:
        yield Block(offset, last)


def _cut_long_line(begun: bytes, remaining: Iterator[bytes], kept_bytes: int, offset: int) -> tuple[Block, int, bytes]:
    """Return a line that continues beyond the bytes read so far, its length, and the bytes after it including its line end."""
    head, length = begun[:kept_bytes], len(begun)
    for chunk in remaining:
        ends = [at for at in (chunk.find(b"\n"), chunk.find(b"\r")) if at >= 0]
        if ends:
            length += min(ends)
            return Block(offset, head, length - len(head)), length, chunk[min(ends) :]
        length += len(chunk)
    return Block(offset, head, length - len(head)), length, b""


def lines_in(data: bytes, *, offset: int, first_row: int) -> Lines:
    r"""Return the physical lines of a block: they end at `\n`, `\r\n` or a lone `\r`. Empty lines are not records."""
    numbers = np.frombuffer(data, np.uint8)
    at_end = numbers == 10
    if b"\r" in data:
        at_end |= numbers == 13
    ends = np.flatnonzero(at_end)
    if not data.endswith((b"\n", b"\r")):
        ends = np.append(ends, len(data))
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    filled = ends > starts
    if not filled.all():
        starts, ends = starts[filled], ends[filled]
    return Lines(data, offset, starts, ends, np.arange(first_row, first_row + len(starts)))


def physical_lines(chunks: Iterable[bytes], *, bounds: Bounds, marks: str = "") -> Iterator[Lines]:
    """Yield the records of a stream in pieces; each physical line is one record.

    A piece has at most about `MOST_MARKS` line ends and characters of `marks`, which bounds the memory that decoding needs.
    """
    row = 0
    for block in blocks(chunks, size_bytes=BLOCK_BYTES, bounds=bounds):
        for part in split_block(block, marks.encode()):
            lines = lines_of(part, first_row=row)
            row += len(lines)
            if len(lines):
                yield lines


def lines_of(block: Block, *, first_row: int) -> Lines:
    """Return the physical lines of a block; a line of which only the beginning is held is one record."""
    if not block.unread_bytes:
        return lines_in(block.data, offset=block.offset, first_row=first_row)
    return replace(one_line(block.data, offset=block.offset, row=first_row), unread_bytes=block.unread_bytes)


def split_block(block: Block, marks: bytes) -> Iterator[Block]:
    """Yield a block in pieces that end at a line end; no piece has many more than `MOST_MARKS` line ends and marks."""
    data = block.data
    codes = np.frombuffer(data, np.uint8)
    count = sum(np.count_nonzero(codes == sign) for sign in b"\n\r" + marks)
    middle = len(data) // 2
    cut = max(data.rfind(b"\n", 0, middle), data.rfind(b"\r", 0, middle)) + 1 or _find_next_end(data, middle)
    if block.unread_bytes or count <= MOST_MARKS or not 0 < cut < len(data):
        yield block
        return
    yield from split_block(Block(block.offset, data[:cut]), marks)
    yield from split_block(Block(block.offset + cut, data[cut:]), marks)


def _find_next_end(data: bytes, begin: int) -> int:
    ends = [at + 1 for at in (data.find(b"\n", begin), data.find(b"\r", begin)) if at >= 0]
    return min(ends, default=0)


def one_line(data: bytes, *, offset: int, row: int) -> Lines:
    """Return a single record with the given bytes."""
    return Lines(data, offset, np.array([0]), np.array([len(data)]), np.array([row]))
