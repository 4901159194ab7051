"""JSON documents: finds the items of a list in a document of any size, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trueup.collect.decode.json.spans import stripped
from trueup.collect.decode.text.lines import BOM, Bounds, Lines, Mask, Offsets

_QUOTE, _BACKSLASH = b'"\\'
_SIGNS = np.zeros(256, np.bool_)
_SIGNS[list(b"{}[]:,")] = True
_STEP = np.zeros(256, np.int64)
_STEP[list(b"{[")] = 1
_STEP[list(b"}]")] = -1
_OPEN_OBJECT, _OPEN_LIST, _CLOSE_OBJECT, _CLOSE_LIST, _COLON, _COMMA = b"{[}]:,"
_LONGEST_KEY = 1 << 16
_FEW = 64
_MOST_FRAMES = 1_000
"""Depth to which the list is searched."""


@dataclass(frozen=True)
class _Signs:
    """Brackets, colons and commas of a chunk outside strings: offsets in the document, codes, and the depth after each."""

    at: Offsets
    code: np.ndarray  # type: ignore[type-arg]
    depth: Offsets

    def first_below(self, depth: int, begin: int) -> int:
        """Return the index of the first sign from `begin` on after which the depth is below `depth`, or the number of signs."""
        # Most values end soon. Searching all later signs for each value would cost quadratic time.
        size = _FEW
        while begin < len(self.at):
            found = np.flatnonzero(self.depth[begin : begin + size] < depth)
            if len(found):
                return begin + int(found[0])
            begin, size = begin + size, size * 4
        return len(self.at)


class _Tokens:
    """Finds the signs of a document, whose strings may continue from chunk to chunk."""

    def __init__(self) -> None:
        self.in_string, self.depth, self._held = False, 0, b""

    def of(self, chunk: bytes, offset: int) -> _Signs:
        """Return the signs of the next chunk, which begins at `offset`."""
        # The character that a backslash escapes may be in the next chunk, so the backslash is processed with that chunk.
        data = self._held + chunk
        offset -= len(self._held)
        whole = data.rstrip(b"\\")
        self._held, data = data[len(whole) :], whole
        codes = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        if b"\\" in data:
            quotes = quotes[~_mark_escaped_quotes(codes, quotes)]
        at = np.flatnonzero(_SIGNS[codes])
        is_inside: Mask = (np.searchsorted(quotes, at) + self.in_string) % 2 == 1
        at = at[~is_inside]
        self.in_string = bool((len(quotes) + self.in_string) % 2)
        depth = self.depth + np.cumsum(_STEP[codes[at]])
        self.depth = int(depth[-1]) if len(depth) else self.depth
        return _Signs(at + offset, codes[at], depth)


def _mark_escaped_quotes(codes: np.ndarray, quotes: Offsets) -> Mask:  # type: ignore[type-arg]
    """Return which quotes follow an odd number of backslashes."""
    others = np.flatnonzero(codes != _BACKSLASH)
    before = np.searchsorted(others, quotes) - 1
    last = np.where(before >= 0, others[np.maximum(before, 0)], -1)
    odd: Mask = (quotes - last - 1) % 2 == 1
    return odd


class DocumentScan:
    """Scan of a document for the records in its lists at a path of member names; the empty path is the document's own list.

    The path leads through lists: `calls` is searched in each object of a list of objects. If the path leads to an object instead of
    a list, the object is one record. After the scan, `is_found` is true if the path exists, and `is_closed` if every string and
    bracket ends.
    """

    def __init__(self, path: Sequence[str], bounds: Bounds) -> None:
        self._path, self._bounds = list(path), bounds
        self._tokens = _Tokens()
        self._frames: list[tuple[int, int]] = []
        self._data, self._base = b"", 0
        self._matched = 0
        self._value_at: int | None = None
        self._mark = 0
        self._skip_below = 0
        self._list_depth = 0
        self._item_at: int | None = None
        self._row = 0
        self.is_found = self.is_closed = False

    def records(self, chunks: Iterable[bytes]) -> Iterator[Lines]:
        """Yield the records with their offsets in the document; a record that is too long yields its beginning."""
        offset = 0
        for chunk in chunks:
            self._data += chunk
            signs = self._tokens.of(chunk, offset)
            offset += len(chunk)
            starts, ends = list[Offsets](), list[Offsets]()
            index = 0
            while index < len(signs.at):
                index = self._advance(signs, index, starts, ends)
            if starts:
                yield from self._take_records(np.concatenate(starts), np.concatenate(ends))
            self._release(offset)
        self.is_closed = not self._tokens.in_string and self._tokens.depth == 0 and not self._frames

    # --- one step ---------------------------------------------------------------------------------------------------------

    def _advance(self, signs: _Signs, index: int, starts: list[Offsets], ends: list[Offsets]) -> int:
        """Process the sign at an index, or all signs up to the end of a list or of a skipped value; return the next index."""
        if self._list_depth:
            return self._pass_list(signs, index, starts, ends)
        if self._skip_below:
            return self._pass_value(signs, index, starts, ends)
        at, code = int(signs.at[index]), int(signs.code[index])
        if code in (_OPEN_OBJECT, _OPEN_LIST):
            self._open(at, code, int(signs.depth[index]))
        elif code == _COLON:
            self._matched = self._match_key(self._data[self._mark + 1 - self._base : at - self._base])
            self._value_at = at + 1 if self._is_target else None
        else:
            self._end_scalar(at, starts, ends)
            if code != _COMMA and self._frames:
                self._frames.pop()
        self._mark = at
        return index + 1

    @property
    def _is_target(self) -> bool:
        return self._matched == len(self._path)

    def _open(self, at: int, code: int, depth: int) -> None:
        kind, matched = self._frames[-1] if self._frames else (_OPEN_LIST, 0)
        if kind == _OPEN_OBJECT:
            matched = self._matched
        is_target, self._value_at = matched == len(self._path), None
        if is_target:
            self.is_found = True
            self._item_at = at + 1 if code == _OPEN_LIST else at
            self._list_depth, self._skip_below = (depth, 0) if code == _OPEN_LIST else (0, depth)
        elif matched < 0 or len(self._frames) >= _MOST_FRAMES:
            self._skip_below = depth
        else:
            self._frames.append((code, matched))

    def _match_key(self, key: bytes) -> int:
        """Return how many names of the path this key completes; -1 where the member is not on the path."""
        kind, matched = self._frames[-1] if self._frames else (_OPEN_LIST, 0)
        try:
            name = json.loads(key) if len(key) <= _LONGEST_KEY else None
        except ValueError:
            name = None
        is_next = kind == _OPEN_OBJECT and matched < len(self._path) and name == self._path[matched]
        return matched + 1 if is_next else -1

    def _end_scalar(self, at: int, starts: list[Offsets], ends: list[Offsets]) -> None:
        """End the value of a member: at the path, a value that is neither a list nor an object nor null is a record."""
        if self._value_at is not None:
            self.is_found = True
            if self._data[self._value_at - self._base : at - self._base].strip() != b"null":
                starts.append(np.array([self._value_at]))
                ends.append(np.array([at]))
        self._value_at, self._matched = None, -1

    def _pass_value(self, signs: _Signs, index: int, starts: list[Offsets], ends: list[Offsets]) -> int:
        """Go on to the end of an object that is a record, or to the end of a skipped value."""
        end = signs.first_below(self._skip_below, index)
        if end == len(signs.at):
            return end
        if self._item_at is not None:
            starts.append(np.array([self._item_at]))
            ends.append(signs.at[end : end + 1] + 1)
        self._skip_below, self._item_at, self._matched = 0, None, -1
        self._mark = int(signs.at[end])
        return end + 1

    def _pass_list(self, signs: _Signs, index: int, starts: list[Offsets], ends: list[Offsets]) -> int:
        """Go on to the end of the list, and add its complete items."""
        end = signs.first_below(self._list_depth, index)
        within = slice(index, end)
        commas = signs.at[within][(signs.code[within] == _COMMA) & (signs.depth[within] == self._list_depth)]
        borders = np.append(commas, signs.at[end : end + 1])
        assert self._item_at is not None
        if len(borders):
            starts.append(np.append(self._item_at, borders[:-1] + 1))
            ends.append(borders)
            self._item_at = int(borders[-1]) + 1
        if end < len(signs.at):
            self._list_depth, self._item_at, self._matched = 0, None, -1
            self._mark = int(signs.at[end])
            return end + 1
        return end

    # --- bytes in memory ------------------------------------------------------------------------------------------------

    def _take_records(self, starts: Offsets, ends: Offsets) -> Iterator[Lines]:
        """Yield records; a record of which only the beginning is in memory is a piece of its own."""
        is_cut = starts[:1] < self._base
        if is_cut.any():
            head, length = self._head, int(ends[0] - starts[0])
            yield Lines(head, int(starts[0]), np.array([0]), np.array([len(head)]), np.array([self._row]), length - len(head))
            self._row += 1
            starts, ends = starts[1:], ends[1:]
        codes = np.frombuffer(self._data, np.uint8)
        begins, stops = stripped(codes, starts - self._base, ends - self._base)
        if len(begins):
            yield Lines(self._data, self._base, begins, stops, np.arange(self._row, self._row + len(begins)))
            self._row += len(begins)

    def _release(self, offset: int) -> None:
        """Drop the bytes that no open record or key needs; of a record that is too long, keep only the beginning."""
        needed = offset
        if self._item_at is not None:
            needed = self._item_at
            if offset - needed > self._bounds.longest_bytes:
                if needed >= self._base:
                    self._head = self._data[needed - self._base :][: self._bounds.kept_bytes]
                needed = offset
        elif not self._skip_below:
            needed = max(self._mark if self._value_at is None else self._value_at - 1, offset - _LONGEST_KEY)
        if needed > self._base:
            self._data, self._base = self._data[needed - self._base :], needed


def without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream with its byte order mark replaced by blanks."""
    is_first = True
    for chunk in chunks:
        yield chunk.replace(BOM, b"   ", 1) if is_first and chunk.startswith(BOM) else chunk
        is_first = False
