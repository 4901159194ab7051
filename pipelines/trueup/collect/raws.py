"""The bytes of some records of a unit, read again in one go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from trueup.collect.parquet import ParquetFile, raw_rows
from trueup.collect.units import Unit

Place = tuple[int, int, int | None]
"""Number of a record in its unit, its first byte, its length."""


def raws(unit: Unit, places: Sequence[Place]) -> Iterator[bytes]:
    """The bytes of the records at `places`, which are in the order of their first bytes, then of their numbers."""
    if unit.source.format == "parquet":
        wanted = deque(row for row, *_ in places)
        for piece in ParquetFile(unit.handle, unit.shown).rows():
            within = []
            while wanted and wanted[0] < piece.first_row + len(piece):
                within.append(wanted.popleft() - piece.first_row)
            yield from raw_rows(piece, within)
        return
    chunks, held, at = unit.stream(), bytearray(), 0
    for _, offset, length in places:
        until = offset + (length or 0)
        while at + len(held) < until and (chunk := next(chunks, None)) is not None:
            held += chunk
            passed = min(max(0, offset - at), len(held))
            del held[:passed]
            at += passed
        yield bytes(held[offset - at : until - at])
