"""The bytes of some records of a unit, read again in one go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from trueup.collect.decode.parquet import ParquetFile, raw_rows
from trueup.collect.discover.units import Unit

Place = tuple[int, int, int | None]
"""Number of a record in its unit, its first byte, its length."""


def raws(unit: Unit, places: Sequence[Place]) -> Iterator[bytes]:
    """The bytes of the records at `places`, which are in the order of their first bytes, then of their numbers.

    Of a long record as many as the log keeps of a rejected one (`kept_bytes`).
    """
    most = unit.limits.kept_bytes
    if unit.source.format == "parquet":
        wanted = deque(row for row, *_ in places)
        for piece in ParquetFile(unit.handle, unit.shown, unit.limits).rows():
            within = []
            while wanted and wanted[0] < piece.first_row + len(piece):
                within.append(wanted.popleft() - piece.first_row)
            yield from (raw[:most] for raw in raw_rows(piece, within))
        return
    chunks, held, at = unit.stream(), bytearray(), 0
    for _, offset, length in places:
        until = offset + min(length or 0, most)
        while at + len(held) < until and (chunk := next(chunks, None)) is not None:
            held += chunk
            passed = min(max(0, offset - at), len(held))
            del held[:passed]
            at += passed
        yield bytes(held[max(0, offset - at) : until - at])


def agrees(kept: bytes, found: bytes) -> bool:
    """Whether what the log keeps of a rejected record is what the file holds there.

    The log keeps the beginning of a long record, and nothing once `quarantine_bytes` of a file are kept: both are compared as far
    as both reach.
    """
    return found[: len(kept)] == kept[: len(found)]
