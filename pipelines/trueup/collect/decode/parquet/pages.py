"""Parquet memory bounds: computed from the file's page headers before a library trusts them.

A footer may declare wrong sizes and rows; the decoder allocates what each page header declares. Structures and field numbers:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from trueup.collect.decode.parquet.thrift import Compact, ThriftError
from trueup.config import LimitsConfig
from trueup.errors import SourceError

_TAIL_BYTES = 8
_HEADER_BYTES = (1 << 10, 1 << 16, 1 << 22)
_DELTA_BYTE_ARRAY = 7
_OF_DICTIONARY = (2, 8)
"""Encodings of pages whose values are indices of dictionary entries."""
_AS_DICTIONARY = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
"""Encodings from which Arrow can build dictionaries."""
_BATCH_BYTES = 32 << 20
_PREFIX_BATCH_BYTES = 8 << 20
"""Maximum bytes of a batch of values that share prefixes: the decoder holds each value twice, whole and as its suffix."""
_GROWN_BYTES = 64 << 20
"""Bytes by which the dictionaries of a row group may grow: Arrow adds and keeps every value of pages without a dictionary."""
_MOST_ROWS = 1 << 16
_VALUE_BYTES = 8


def check_footer(handle: BinaryIO, limits: LimitsConfig, where: str) -> None:
    """Raise `SourceError` for a footer or a schema beyond its limit, before memory is allocated for it."""
    size = os.fstat(handle.fileno()).st_size
    handle.seek(max(0, size - _TAIL_BYTES))
    tail = handle.read(_TAIL_BYTES)
    if tail[4:] == b"PARE":
        raise SourceError("the footer is encrypted", where=where, todo="have the file delivered decrypted")
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length + _TAIL_BYTES > size:
        raise SourceError("the file is not Parquet, or is cut short: it has no footer", where=where, todo="have it delivered again")
    _check_limit("the footer has", length, "bytes", limits.footer_bytes, "footer_bytes", where)
    handle.seek(size - _TAIL_BYTES - length)
    try:
        leaves, depth = _measure_schema(Compact(handle.read(length)), limits)
    except ThriftError as error:
        raise SourceError(f"the footer is damaged: {error}", where=where, todo="have it delivered again") from None
    _check_limit("the schema has at least", leaves, "columns", limits.columns, "columns", where)
    _check_limit("the schema is nested", depth, "deep", limits.depth, "depth", where)


def _check_limit(what: str, number: int, unit: str, most: int, name: str, where: str) -> None:
    if number > most:
        todo = f"check the file, or raise `{name}` in [limits] or [source.limits]"
        raise SourceError(f"{what} {number} {unit}, more than {most}", where=where, todo=todo)


def _measure_schema(footer: Compact, limits: LimitsConfig) -> tuple[int, int]:
    """Return the number of leaf columns of the schema and their depth; reading stops once a limit is exceeded."""
    for number, kind in footer.fields():
        if number != 2:
            footer.value(kind)
            continue
        leaves, deepest, open_groups = 0, 0, list[int]()
        for _ in range(footer.elements()[0]):
            children = int(footer.struct().get(5, 0))
            deepest = max(deepest, len(open_groups))
            leaves += not children
            if leaves > limits.columns or deepest > limits.depth:
                break
            if open_groups:
                open_groups[-1] -= 1
            if children > 0:
                open_groups.append(children)
            while open_groups and open_groups[-1] == 0:
                open_groups.pop()
        return leaves, deepest
    raise ThriftError("it has no schema")


@dataclass(frozen=True)
class _Pages:
    """Memory that the pages of one column in one row group need."""

    largest_bytes: int = 0
    dictionary_bytes: int = 0
    plain_bytes: int = 0
    value_bytes: float = 0.0
    values: int = 0
    has_prefixes: bool = False

    def with_page(self, header: dict[int, Any]) -> _Pages:
        size = int(header.get(2, 0))
        data = header.get(5) or header.get(8)
        if data is None:
            return replace(self, dictionary_bytes=max(self.dictionary_bytes, size))
        values, encoding = int(data.get(1, 0)), data.get(2 if 5 in header else 4)
        return replace(
            self, largest_bytes=max(self.largest_bytes, size), value_bytes=max(self.value_bytes, size / max(1, values)),
            plain_bytes=self.plain_bytes + (0 if encoding in _OF_DICTIONARY else size), values=self.values + values,
            has_prefixes=self.has_prefixes or encoding == _DELTA_BYTE_ARRAY,
        )  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How a row group is decoded within bounds: the rows at a time, and the text columns that are read as dictionaries.

    Values of a dictionary are not copied for each row.
    """

    rows: int
    as_dictionary: tuple[str, ...]


Longest = Callable[[str], int]
"""Returns the bytes of the longest value in the dictionary of a text column."""


def reading_of(handle: BinaryIO, group: Any, columns: Any, limits: LimitsConfig, where: str, longest: Longest) -> Reading:
    """Return how to decode a row group; raise `SourceError` where even one row needs too much memory.

    `group` and `columns` are the metadata of the row group and the schema.
    """
    rows, held_bytes, row_bytes, most, grown_bytes = max(1, int(group.num_rows)), 0, 0.0, _MOST_ROWS, 0
    as_dictionary, from_dictionary = list[str](), list[str]()
    for index in range(group.num_columns):
        column = group.column(index)
        pages = _read_pages(handle, column, where)
        held_bytes += pages.largest_bytes + pages.dictionary_bytes
        if columns.column(index).max_repetition_level:
            # In the worst case all values of a list belong to one row.
            held_bytes += pages.values * _VALUE_BYTES
        row_bytes += pages.value_bytes * max(1.0, pages.values / rows)
        if column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and pages.dictionary_bytes:
            if not _is_flat_text(column, columns.column(index)):
                # In the worst case each row has the largest value of the dictionary.
                most = min(most, _BATCH_BYTES // pages.dictionary_bytes)
            elif grown_bytes + pages.plain_bytes <= _GROWN_BYTES:
                grown_bytes += pages.plain_bytes
                as_dictionary.append(column.path_in_schema)
            else:
                from_dictionary.append(column.path_in_schema)
        if pages.has_prefixes:
            # In the worst case each value begins with the whole previous value.
            most = min(most, _PREFIX_BATCH_BYTES // max(1, pages.largest_bytes))
    _check_limit("pages that are needed at once have", held_bytes, "bytes", limits.page_bytes, "page_bytes", where)
    most = min([most, *(_BATCH_BYTES // max(1, longest(name)) for name in from_dictionary)])
    return Reading(max(1, min(most, int(_BATCH_BYTES / max(1.0, row_bytes)))), tuple(as_dictionary))


def _is_flat_text(chunk: Any, column: Any) -> bool:
    """Return whether a column is text outside lists and structures, of which Arrow can build a dictionary."""
    is_flat = column.path == column.name and not column.max_repetition_level
    return bool(column.physical_type == "BYTE_ARRAY" and is_flat and _AS_DICTIONARY.issuperset(chunk.encodings))


def _read_pages(handle: BinaryIO, column: Any, where: str) -> _Pages:
    pages = _Pages()
    for header in _read_headers(handle, column, where):
        pages = pages.with_page(header)
    return pages


def _read_headers(handle: BinaryIO, column: Any, where: str) -> Iterator[dict[int, Any]]:
    """Yield the headers of a column's pages in a row group, in file order."""
    starts = [at for at in (column.dictionary_page_offset, column.data_page_offset) if at]
    at = min(starts, default=0)
    end = at + column.total_compressed_size
    if not starts or at < 0 or column.total_compressed_size < 0 or end > os.fstat(handle.fileno()).st_size:
        raise _damage_error(where, "a column is outside of the file")
    while at < end:
        header, header_bytes = _read_header(handle, at, where)
        page_bytes = header.get(3, -1)
        if not isinstance(page_bytes, int) or page_bytes < 0 or header.get(2, -1) < 0:
            raise _damage_error(where, "a page has a negative size")
        at += header_bytes + page_bytes
        yield header


def _read_header(handle: BinaryIO, at: int, where: str) -> tuple[dict[int, Any], int]:
    reason = ""
    for size in _HEADER_BYTES:
        handle.seek(at)
        reader = Compact(handle.read(size))
        try:
            return reader.struct(), reader.at
        except ThriftError as error:
            reason = str(error)
    raise _damage_error(where, f"a page header is damaged: {reason}")


def _damage_error(where: str, what: str) -> SourceError:
    return SourceError(f"the Parquet file is damaged: {what}", where=where, todo="have it delivered again")
