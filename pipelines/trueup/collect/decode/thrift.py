"""Thrift's compact protocol, as far as a Parquet footer and its page headers need to be looked at before they are trusted.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEEPEST = 16


class ThriftError(ValueError):
    """Bytes that are no Thrift, end too early, or nest deeper than any Parquet structure."""


class Compact:
    """Reads values from `data`, from `at` on."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a structure by number."""
        return {number: self.value(kind, depth) for number, kind in self.fields()}

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a structure; the caller reads the value before it goes on."""
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self.integer()
            yield number, kind

    def elements(self) -> tuple[int, int]:
        """How many elements a list has, and their type."""
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def value(self, kind: int, depth: int = 0) -> Any:
        """A value of a type."""
        if depth > _DEEPEST:
            raise ThriftError("it is nested too deep")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in (4, 5, 6):
            return self.integer()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            size, inner = self.elements()
            # Truth values are bytes of their own here, and no more than bytes are left can be meant.
            return [self.value(_BYTE if inner in (_TRUE, _FALSE) else inner, depth + 1) for _ in range(self._sane(size))]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ThriftError(f"type {kind} is not known here")

    def integer(self) -> int:
        """A signed whole number."""
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _sane(self, size: int) -> int:
        if size > len(self._data) - self.at:
            raise ThriftError("it ends too early")
        return size

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ThriftError("a number is too long")

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise ThriftError("it ends too early")
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += self._sane(size)
        return self._data[self.at - size : self.at]
