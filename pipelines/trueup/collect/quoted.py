"""Records that may hold line ends inside quotes (`quoted_newlines = true`), with a damaged quote costing only its own lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from trueup.collect.lines import Lines, Mask, Offsets, blocks, lines_in

_BLOCK_BYTES = 1 << 20
"""Smaller than for plain lines, since a damaged quote makes the rest of its block be looked at again."""

_LONGEST_BYTES = 8 << 20
"""A record beyond this has a quote that never closes."""


def quoted_records(chunks: Iterable[bytes], *, delimiter: str, quote: str, where: str) -> Iterator[Lines]:
    """The records of a stream in which a quoted field may span lines.

    Where the quotes of a record do not pair, its first physical line stands as a record alone, for the reader to reject, and
    what follows is read anew from the next line on.
    """
    row, held, held_offset = 0, b"", 0
    for offset, data in blocks(chunks, where=where, size_bytes=_BLOCK_BYTES):
        held_offset = held_offset if held else offset
        found, used = _records(held + data, delimiter, quote, offset=held_offset, first_row=row, is_last=False)
        held, held_offset = (held + data)[used:], held_offset + used
        row += len(found)
        if len(found):
            yield found
    found, _ = _records(held, delimiter, quote, offset=held_offset, first_row=row, is_last=True)
    if len(found):
        yield found


def _records(data: bytes, delimiter: str, quote: str, *, offset: int, first_row: int, is_last: bool) -> tuple[Lines, int]:
    """The records of a block, and how many of its bytes they take; what is left waits for the next block."""
    lines = lines_in(data, offset=offset, first_row=0)
    starts, ends = list[Offsets](), list[Offsets]()
    at = 0
    while at < len(lines):
        rest = lines.only(slice(at, None))
        begins, complete, broken = _grouped(rest, delimiter, quote)
        starts.append(rest.starts[begins[:complete]])
        ends.append(rest.ends[np.append(begins[1:], len(rest))[:complete] - 1])
        at += int(np.append(begins, len(rest))[complete])
        if at >= len(lines):
            break
        is_endless = len(data) - int(lines.starts[at]) > _LONGEST_BYTES
        if not (broken or is_last or is_endless):
            break
        starts.append(lines.starts[at : at + 1])
        ends.append(lines.ends[at : at + 1])
        at += 1
    used = int(lines.starts[at]) if at < len(lines) else len(data)
    begun = np.concatenate([*starts, np.zeros(0, np.int64)])
    return Lines(
        data, offset, begun, np.concatenate([*ends, np.zeros(0, np.int64)]), np.arange(first_row, first_row + len(begun))
    ), used


def _grouped(lines: Lines, delimiter: str, quote: str) -> tuple[Offsets, int, bool]:
    """Physical lines as records: the first line of each, how many are sound and complete, and whether the next is broken."""
    numbers, code = lines.codes, ord(quote)
    quotes = np.flatnonzero(numbers[int(lines.starts[0]) :] == code) + int(lines.starts[0])
    open_before = np.searchsorted(quotes, lines.starts) % 2 == 1
    begins = np.flatnonzero(~open_before)
    is_last_open = len(quotes) % 2 == 1
    complete = len(begins) - is_last_open
    misplaced = quotes[_misplaced(numbers, quotes, ord(delimiter), code)]
    if not len(misplaced):
        return begins, complete, False
    line = int(np.searchsorted(lines.ends, misplaced[0], side="right"))
    record = int(np.searchsorted(begins, line, side="right")) - 1
    return begins, min(complete, record), True


def _misplaced(numbers: np.ndarray, quotes: Offsets, separator: int, quote: int) -> Mask:  # type: ignore[type-arg]
    """Quotes that open elsewhere than at the start of a field, or close elsewhere than at its end."""
    borders = np.array([separator, quote, 10, 13])
    is_opening = np.arange(len(quotes)) % 2 == 0
    before = np.where(quotes > 0, numbers[quotes - 1], 10)
    after = np.where(quotes + 1 < len(numbers), numbers[np.minimum(quotes + 1, len(numbers) - 1)], 10)
    return ~np.isin(np.where(is_opening, before, after), borders)
