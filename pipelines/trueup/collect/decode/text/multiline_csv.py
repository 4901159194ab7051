"""Multi-line CSV: records with line ends inside quotes (`quoted_newlines = true`). A damaged quote affects only its own lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from trueup.collect.decode.text.lines import Block, Bounds, Lines, Mask, Offsets, blocks, lines_in, lines_of

_BLOCK_BYTES = 1 << 20
"""Bytes of a block, fewer than for plain lines: lines after a damaged quote are examined one by one up to its end."""


@dataclass(frozen=True)
class Quoting:
    """Characters that separate and quote fields."""

    delimiter: str
    quote: str


def quoted_records(chunks: Iterable[bytes], quoting: Quoting, *, bounds: Bounds) -> Iterator[Lines]:
    """Yield the records of a stream in which a quoted field may span lines.

    Where the quotes of a record do not pair within `record_bytes`, its first physical line becomes a record, which the reader
    rejects. The next line begins a new record.
    """
    row, held = 0, Block(0, b"")
    for block in blocks(chunks, size_bytes=max(_BLOCK_BYTES, bounds.record_bytes), bounds=bounds):
        if block.unread_bytes:
            # No record continues after a line that is itself too long.
            records, _ = _cut_records(held, quoting, bounds, first_row=row, is_last=True)
            long = lines_of(block, first_row=row + len(records))
            pieces, held = [records, long], Block(0, b"")
        else:
            joined_block = Block(held.offset if held.data else block.offset, held.data + block.data)
            records, used = _cut_records(joined_block, quoting, bounds, first_row=row, is_last=False)
            pieces, held = [records], Block(joined_block.offset + used, joined_block.data[used:])
        for piece in pieces:
            row += len(piece)
            if len(piece):
                yield piece
    records, _ = _cut_records(held, quoting, bounds, first_row=row, is_last=True)
    if len(records):
        yield records


def _cut_records(block: Block, quoting: Quoting, bounds: Bounds, *, first_row: int, is_last: bool) -> tuple[Lines, int]:
    """Return the records of a block, and how many bytes they take; the remaining bytes belong to the next block."""
    data = block.data
    lines = lines_in(data, offset=block.offset, first_row=0)
    if not len(lines):
        return lines, len(data)
    quotes = _Quotes.of(lines, quoting)
    begins, complete, is_broken = _group_lines(lines, quotes)
    starts = [lines.starts[begins[:complete]]]
    ends = [lines.ends[np.append(begins[1:], len(lines))[:complete] - 1]]
    at = int(np.append(begins, len(lines))[complete])
    if at < len(lines) and (is_broken or is_last or len(data) - int(lines.starts[at]) > bounds.record_bytes):
        firsts, lasts, at = _group_one_by_one(lines, quotes, at, bounds.record_bytes, is_last=is_last)
        starts.append(lines.starts[firsts])
        ends.append(lines.ends[lasts])
    used = int(lines.starts[at]) if at < len(lines) else len(data)
    begun, ended = np.concatenate(starts), np.concatenate(ends)
    return Lines(data, block.offset, begun, ended, np.arange(first_row, first_row + len(begun))), used


@dataclass(frozen=True)
class _Quotes:
    """Quotes of lines: position, line, and whether a field may begin or end at each."""

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


def _group_lines(lines: Lines, quotes: _Quotes) -> tuple[Offsets, int, bool]:
    """Group physical lines to records.

    Return the first line of each record, the number of complete records, and whether the quotes of the next record do not pair.
    """
    begins = np.flatnonzero(np.searchsorted(quotes.at, lines.starts) % 2 == 0)
    is_last_open = len(quotes.at) % 2 == 1
    complete = len(begins) - is_last_open
    is_opening = np.arange(len(quotes.at)) % 2 == 0
    misplaced = np.flatnonzero(~np.where(is_opening, quotes.may_open, quotes.may_close))
    if not len(misplaced):
        return begins, complete, False
    record = int(np.searchsorted(begins, quotes.line[misplaced[0]], side="right")) - 1
    return begins, min(complete, record), True


def _group_one_by_one(
    lines: Lines, quotes: _Quotes, first: int, record_bytes: int, *, is_last: bool
) -> tuple[list[int], list[int], int]:
    """Return first and last line of each record from line `first` on, and the line at which the next block resumes.

    A line whose quotes do not pair, alone or with the lines after it, is a record by itself. Each line is examined a few times at
    most. An open quote ends at the next line with an odd number of quotes, whether or not that line is sound.
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
        is_complete = is_sound and not is_open
        if not is_complete and is_sound and last + 1 == len(lines) and not is_last and ends[last] - starts[at] <= record_bytes:
            break
        firsts.append(at)
        lasts.append(last if is_complete else at)
        at = lasts[-1] + 1
    return firsts, lasts, at
