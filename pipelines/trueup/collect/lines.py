"""Physical lines first: where each record lies in a block of bytes, before anything is parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trueup.errors import SourceError

Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK_BYTES = 16 << 20
"""How much is read before lines are sought in it: large enough to be worth vectorising, small enough for the cache."""

LONGEST_BYTES = 256 << 20
"""A line beyond this is taken for a file that has no lines."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Lines:
    """Some records of a unit, as places in a block of its decompressed bytes.

    Record `i` is `data[starts[i]:ends[i]]`, without its line end; the block begins at byte `offset` of the stream, and its
    first record is the unit's `first_row`-th. Records that were taken out leave their numbers unused: `rows` has them.
    """

    data: bytes
    offset: int
    starts: Offsets
    ends: Offsets
    rows: Offsets

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, wanted: Mask | slice) -> Lines:
        """Some of the lines."""
        return replace(self, starts=self.starts[wanted], ends=self.ends[wanted], rows=self.rows[wanted])

    @property
    def first_row(self) -> int:
        """The number of the first record in its unit."""
        return int(self.rows[0])

    def renumbered(self, by: int) -> Lines:
        """The same lines, counted from elsewhere."""
        return replace(self, rows=self.rows + by)

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """The block as numbers."""
        return np.frombuffer(self.data, np.uint8)

    def raw(self, index: int) -> bytes:
        """One record's bytes."""
        return self.data[int(self.starts[index]) : int(self.ends[index])]


def blocks(chunks: Iterable[bytes], *, where: str, size_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Joins a stream's chunks to blocks that end at a line end (the last one: at the end), with their offsets.

    A byte order mark at the very start is left out. Raises `SourceError` for a line longer than `LONGEST_BYTES`.
    """
    offset, held, held_bytes = 0, list[bytes](), 0
    is_first = True
    for chunk in chunks:
        held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes < max(size_bytes, len(_BOM)):
            continue
        joined = b"".join(held)
        if is_first and joined.startswith(_BOM):
            joined, offset = joined[3:], 3
        is_first = False
        cut = max(joined.rfind(b"\n"), joined.rfind(b"\r")) + 1
        if cut:
            yield offset, joined[:cut]
            offset += cut
        elif len(joined) > LONGEST_BYTES:
            raise SourceError(f"there is a line longer than {LONGEST_BYTES} bytes", where=where, todo="check the source's format")
        held, held_bytes = [joined[cut:]], len(joined) - cut
        # A line that fills a block must not be joined anew with every chunk.
        size_bytes = max(size_bytes, 2 * held_bytes)
    rest = b"".join(held)
    if is_first and rest.startswith(_BOM):
        rest, offset = rest[3:], 3
    if rest:
        yield offset, rest


def lines_in(data: bytes, *, offset: int, first_row: int) -> Lines:
    r"""The physical lines of a block: they end at `\n`, `\r\n` or a lone `\r`; empty ones are no records."""
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


def physical_lines(chunks: Iterable[bytes], *, where: str) -> Iterator[Lines]:
    """The records of a stream of which each physical line is one, block by block."""
    row = 0
    for offset, data in blocks(chunks, where=where, size_bytes=BLOCK_BYTES):
        found = lines_in(data, offset=offset, first_row=row)
        row += len(found)
        if len(found):
            yield found


def one_line(data: bytes, *, offset: int, row: int) -> Lines:
    """A single record whose bytes are known."""
    return Lines(data, offset, np.array([0]), np.array([len(data)]), np.array([row]))
