"""Records that may hold line ends inside quotes (`quoted_newlines = true`), with a damaged quote costing only its own lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from trueup.collect.decode.lines import Block, Bounds, Lines, Mask, Offsets, blocks, lines_in, lines_of

_BLOCK_BYTES = 1 << 20
"""Smaller than for plain lines, since the lines behind a damaged quote are looked at one by one up to the end of their block."""


@dataclass(frozen=True)
class Quoting:
    """The characters that separate and quote fields."""

    delimiter: str
    quote: str


def quoted_records(chunks: Iterable[bytes], quoting: Quoting, *, bounds: Bounds) -> Iterator[Lines]:
    """The records of a stream in which a quoted field may span lines.

    Where the quotes of a record do not pair within `record_bytes`, its first physical line is a record alone, for the reader to
    reject, and what follows is read anew from the next line on.
    """
    row, held = 0, Block(0, b"")
    for block in blocks(chunks, size_bytes=max(_BLOCK_BYTES, bounds.record_bytes), bounds=bounds):
        if block.unread_bytes:
            # No record goes on behind a line that is too long itself.
            found, _ = _records(held, quoting, bounds, first_row=row, is_last=True)
            long = lines_of(block, first_row=row + len(found))
            pieces, held = [found, long], Block(0, b"")
        else:
            both = Block(held.offset if held.data else block.offset, held.data + block.data)
            found, used = _records(both, quoting, bounds, first_row=row, is_last=False)
            pieces, held = [found], Block(both.offset + used, both.data[used:])
        for piece in pieces:
            row += len(piece)
            if len(piece):
                yield piece
    found, _ = _records(held, quoting, bounds, first_row=row, is_last=True)
    if len(found):
        yield found


def _records(block: Block, quoting: Quoting, bounds: Bounds, *, first_row: int, is_last: bool) -> tuple[Lines, int]:
    """The records of a block, and how many of its bytes they take; what is left waits for the next block."""
    data = block.data
    lines = lines_in(data, offset=block.offset, first_row=0)
    if not len(lines):
        return lines, len(data)
    quotes = _Quotes.of(lines, quoting)
    begins, complete, is_broken = _grouped(lines, quotes)
    starts = [lines.starts[begins[:complete]]]
    ends = [lines.ends[np.append(begins[1:], len(lines))[:complete] - 1]]
    at = int(np.append(begins, len(lines))[complete])
    if at < len(lines) and (is_broken or is_last or len(data) - int(lines.starts[at]) > bounds.record_bytes):
        firsts, lasts, at = _one_by_one(lines, quotes, at, bounds.record_bytes, is_last=is_last)
        starts.append(lines.starts[firsts])
        ends.append(lines.ends[lasts])
    used = int(lines.starts[at]) if at < len(lines) else len(data)
    begun, ended = np.concatenate(starts), np.concatenate(ends)
    return Lines(data, block.offset, begun, ended, np.arange(first_row, first_row + len(begun))), used


@dataclass(frozen=True)
class _Quotes:
    """The quotes of some lines: where, in which line, and whether a field may begin or end there."""

    at: Offsets
    line: Offsets
    may_open: Mask
    may_close: Mask

    @classmethod
    def of(cls, lines: Lines, quoting: Quoting) -> _Quotes:
        codes, quote = lines.codes, ord(quoting.quote)
        borders = np.array([ord(quoting.delimiter), quote, 10, 13])
        at = np.flatnonzero(codes == quote)
        before = np.where(at > 0, codes[at - 1], 10)
        after = np.where(at + 1 < len(codes), codes[np.minimum(at + 1, len(codes) - 1)], 10)
        return cls(at, np.searchsorted(lines.ends, at, side="right"), np.isin(before, borders), np.isin(after, borders))


def _grouped(lines: Lines, quotes: _Quotes) -> tuple[Offsets, int, bool]:
    """Physical lines as records: the first line of each, how many are sound and complete, and whether the next is broken."""
    begins = np.flatnonzero(np.searchsorted(quotes.at, lines.starts) % 2 == 0)
    is_last_open = len(quotes.at) % 2 == 1
    complete = len(begins) - is_last_open
    is_opening = np.arange(len(quotes.at)) % 2 == 0
    misplaced = np.flatnonzero(~np.where(is_opening, quotes.may_open, quotes.may_close))
    if not len(misplaced):
        return begins, complete, False
    record = int(np.searchsorted(begins, quotes.line[misplaced[0]], side="right")) - 1
    return begins, min(complete, record), True


def _one_by_one(lines: Lines, quotes: _Quotes, first: int, record_bytes: int, *, is_last: bool) -> tuple[list[int], list[int], int]:
    """First and last line of each record from line `first` on, and the line that the next block has to go on with.

    A line whose quotes do not pair, alone or with those that follow, is a record by itself. Each line is looked at a few times at
    most: what is open ends at the next line with an odd number of quotes, soundly or not.
    """
    bounds = np.searchsorted(quotes.line, np.arange(len(lines) + 1)).tolist()
    may_open, may_close = quotes.may_open.tolist(), quotes.may_close.tolist()
    starts, ends = lines.starts.tolist(), lines.ends.tolist()
    firsts, lasts, at = list[int](), list[int](), first
    while at < len(lines):
        last, is_open, is_sound = at, False, True
        while True:
            for quote in range(bounds[last], bounds[last + 1]):
                is_sound = is_sound and (may_close[quote] if is_open else may_open[quote])
                is_open = not is_open
            if not is_sound or not is_open or last + 1 == len(lines) or ends[last] - starts[at] > record_bytes:
                break
            last += 1
        is_whole = is_sound and not is_open
        if not is_whole and is_sound and last + 1 == len(lines) and not is_last and ends[last] - starts[at] <= record_bytes:
            break
        firsts.append(at)
        lasts.append(last if is_whole else at)
        at = lasts[-1] + 1
    return firsts, lasts, at
