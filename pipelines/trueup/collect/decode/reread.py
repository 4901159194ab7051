"""Rereading: returns the bytes of selected records of a unit in one pass over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from trueup.collect.decode.parquet.parquet_file import ParquetFile, raw_rows
from trueup.collect.decode.workbook.reader import WorkbookReader
from trueup.collect.discover.units import Unit

Provenance = tuple[int, int, int | None]
"""Number of a record in its unit, its byte offset and its length."""


def read_raw_records(unit: Unit, records: Sequence[Provenance]) -> Iterator[bytes]:
    """Yield the bytes of the given records, which are in order of byte offset, then of number.

    A long record yields as many bytes as the log holds of a rejected record (`kept_bytes`).
    """
    most = unit.limits.kept_bytes
    if unit.source.format == "parquet":
        requested = deque(row for row, *_ in records)
        for piece in ParquetFile(unit.handle, unit.shown, unit.limits).rows():
            indices = []
            while requested and requested[0] < piece.first_row + len(piece):
                indices.append(requested.popleft() - piece.first_row)
            yield from (raw[:most] for raw in raw_rows(piece, indices))
        return
    if unit.source.format == "xlsx":
        wanted = deque(row for row, *_ in records)
        for rows in WorkbookReader(unit).pieces():
            while wanted and wanted[0] < rows.first_row + len(rows):
                yield from (raw[:most] for raw in rows.raw([wanted.popleft() - rows.first_row]))
        return
    chunks, held, at = unit.stream(), bytearray(), 0
    for _, offset, length in records:
        until = offset + min(length or 0, most)
        while at + len(held) < until and (chunk := next(chunks, None)) is not None:
            held += chunk
            skipped = min(max(0, offset - at), len(held))
            del held[:skipped]
            at += skipped
        yield bytes(held[max(0, offset - at) : until - at])
