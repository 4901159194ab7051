"""Elements: finds where the records of an XML document begin and end, so that a damaged record affects no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from trueup.collect.decode.text.lines import Bounds, Lines

_LONGEST_TAG = 1 << 20
_PREFIX = rb"(?:[A-Za-z_][\w.-]*:)?"
_TAG_END = re.compile(rb"[^<>\"']*(?:\"[^\"<]*\"[^<>\"']*|'[^'<]*'[^<>\"']*)*>")
_ANY_TAG_END = re.compile(rb"[^>]*>")
_TAGS = re.compile(rb"<!--.*?-->|<[^<>]*>", re.DOTALL)
_UNTIL = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
_MOST_RECORDS = 1 << 12


class ElementScan:
    """Scan of a document for the elements of one name, with any prefix.

    In a well-formed document (`is_sound`), elements of the same name inside a record belong to it, and text between records is
    ignored. In other documents a record ends where the next one begins, and text between records becomes a record that the decoder
    rejects.
    """

    margin_bytes = 1 << 12
    """Bytes at the end of a chunk that are processed with the next chunk: the name of a tag may continue there."""

    def __init__(self, element: str, bounds: Bounds, *, is_sound: bool) -> None:
        name = re.escape(element.encode())
        self._token = re.compile(rb"<!--|<!\[CDATA\[|<\?|(</" + _PREFIX + name + rb"\s*>)|(<" + _PREFIX + name + rb"(?=[\s/>]))")
        self._bounds, self._is_sound = bounds, is_sound
        self._data, self._base, self._at = b"", 0, 0
        self._until: bytes | None = None
        self._depth, self._item_at, self._gap_at = 0, 0, 0
        self._head: bytes | None = None
        self._found: list[tuple[int, int]] = []
        self._row = 0

    def records(self, chunks: Iterable[bytes]) -> Iterator[Lines]:
        """Yield the records with their offsets in the document; a record that is too long yields its beginning."""
        for chunk in chunks:
            self._data += chunk
            yield from self._scan(len(self._data) - self.margin_bytes, is_last=False)
            self._release()
        yield from self._scan(len(self._data), is_last=True)
        end = self._base + len(self._data)
        if self._depth:
            self._found.append((self._item_at, end))
        elif self._row:
            self._end_gap(end)
        yield from self._take_records()

    # --- tokens -----------------------------------------------------------------------------------------------------------

    def _scan(self, until: int, *, is_last: bool) -> Iterator[Lines]:
        """Process the tokens that begin before `until`, an index into the bytes in memory."""
        while self._at < until:
            if self._until is not None:
                end = self._data.find(self._until, self._at)
                if end < 0:
                    self._at = max(self._at, len(self._data) - len(self._until))
                    break
                self._at, self._until = end + len(self._until), None
                continue
            token = self._token.search(self._data, self._at)
            if token is None or token.start() >= until:
                self._at = max(self._at, until)
                break
            if not self._take(token, is_last=is_last):
                break
            if len(self._found) >= _MOST_RECORDS:
                yield from self._take_records()
        yield from self._take_records()

    def _take(self, token: re.Match[bytes], *, is_last: bool) -> bool:
        """Process one token; return False where more bytes are needed to see its end."""
        begin = token.start()
        if token[1] is not None:
            self._at = token.end()
            self._close(self._base + token.end())
        elif token[2] is not None:
            end = _TAG_END.match(self._data, token.end())
            if end is None and not is_last and len(self._data) - begin < _LONGEST_TAG and b">" not in self._data[token.end() :]:
                self._at = begin
                return False
            end = end or _ANY_TAG_END.match(self._data, token.end())
            self._at = len(self._data) if end is None else end.end()
            self._open(self._base + begin)
            if end is not None and self._data[end.end() - 2 : end.end()] == b"/>":
                self._close(self._base + end.end())
        else:
            self._until, self._at = _UNTIL[token[0]], token.end()
        return True

    def _open(self, at: int) -> None:
        if self._depth and self._is_sound:
            self._depth += 1
            return
        if self._depth:
            self._found.append((self._item_at, at))
        elif self._row or self._found:
            self._end_gap(at)
        self._depth, self._item_at = 1, at

    def _close(self, at: int) -> None:
        if not self._depth:
            # The beginning of this record is damaged.
            self._found.append((max(self._gap_at, self._base), at))
        elif self._depth == 1:
            self._found.append((self._item_at, at))
        self._depth = max(0, self._depth - 1)
        self._gap_at = at if not self._depth else self._gap_at

    def _end_gap(self, at: int) -> None:
        """Add the bytes between two records of a damaged document as a record, unless they are only tags."""
        begin = max(self._gap_at, self._base)
        if not self._is_sound and _TAGS.sub(b"", self._data[begin - self._base : at - self._base]).strip():
            self._found.append((begin, at))

    # --- bytes in memory ------------------------------------------------------------------------------------------------

    def _take_records(self) -> Iterator[Lines]:
        """Yield the records found; a record of which only the beginning is in memory is a piece of its own."""
        found, self._found = self._found, []
        if found and self._head is not None:
            (begin, end), *found = found
            head, self._head = self._head, None
            yield Lines(head, begin, np.array([0]), np.array([len(head)]), np.array([self._row]), end - begin - len(head))
            self._row += 1
        spans = [self._strip_blanks(begin, end) for begin, end in found]
        spans = [(begin, end) for begin, end in spans if end > begin]
        if spans:
            starts, ends = np.array(spans, np.int64).T
            yield Lines(self._data, self._base, starts.copy(), ends.copy(), np.arange(self._row, self._row + len(spans)))
            self._row += len(spans)

    def _strip_blanks(self, begin: int, end: int) -> tuple[int, int]:
        """Return a span in the bytes in memory, without blanks around it."""
        begin, end = begin - self._base, end - self._base
        record = self._data[begin:end]
        return begin + len(record) - len(record.lstrip()), end - (len(record) - len(record.rstrip()))

    def _release(self) -> None:
        """Drop the bytes that no open record needs; of a record that is too long, keep only the beginning."""
        needed = self._base + self._at
        first = self._item_at if self._depth else self._gap_at if self._row and not self._is_sound else needed
        if needed - first <= self._bounds.longest_bytes:
            needed = min(needed, first)
        elif self._depth and self._head is None:
            self._head = self._data[first - self._base :][: self._bounds.kept_bytes]
        if needed > self._base:
            self._data = self._data[needed - self._base :]
            self._at -= needed - self._base
            self._base = needed
