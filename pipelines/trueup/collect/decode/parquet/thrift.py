"""Thrift's compact protocol: the subset needed to inspect a Parquet footer and page headers before decoding.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEEPEST = 16


class ThriftError(ValueError):
    """Invalid Thrift bytes: not decodable, truncated, or nested deeper than any Parquet structure."""


class Compact:
    """A reader of values from `data`, beginning at byte `at`."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a structure by number."""
        return {number: self.value(kind, depth) for number, kind in self.fields()}

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a structure; the caller reads the value before it continues."""
        number = 0
        while head := self._read_byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self.integer()
            yield number, kind

    def elements(self) -> tuple[int, int]:
        """Return the number of elements of a list, and their type."""
        head = self._read_byte()
        return (self._read_varint() if head >> 4 == 15 else head >> 4), head & 15

    def value(self, kind: int, depth: int = 0) -> Any:
        """Return a value of the type; raise `ThriftError` where the bytes are invalid."""
        if depth > _DEEPEST:
            raise ThriftError("it is nested too deeply")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._read_byte()
        if kind in (4, 5, 6):
            return self.integer()
        if kind == _DOUBLE:
            return self._read_bytes(8)
        if kind == _BINARY:
            return self._read_bytes(self._read_varint())
        if kind in (_LIST, _SET):
            size, inner = self.elements()
            # Booleans in a list are bytes of their own; a list cannot have more elements than bytes remain.
            return [self.value(_BYTE if inner in (_TRUE, _FALSE) else inner, depth + 1) for _ in range(self._check_size(size))]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ThriftError(f"type {kind} is unknown")

    def integer(self) -> int:
        """Return a signed integer in zigzag encoding."""
        number = self._read_varint()
        return (number >> 1) ^ -(number & 1)

    def _check_size(self, size: int) -> int:
        if size > len(self._data) - self.at:
            raise ThriftError("it ends too early")
        return size

    def _read_varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._read_byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ThriftError("a number is too long")

    def _read_byte(self) -> int:
        if self.at >= len(self._data):
            raise ThriftError("it ends too early")
        self.at += 1
        return self._data[self.at - 1]

    def _read_bytes(self, size: int) -> bytes:
        self.at += self._check_size(size)
        return self._data[self.at - size : self.at]
