"""The records of a unit mapped again: the events and rejects that its bytes make by the mapping that made them at first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.collect.commit.commit_part import QuarantineBudget, events_of
from trueup.collect.decode.decoded import REJECTED, Batch
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import Unit
from trueup.collect.ingest import split_at_parts
from trueup.collect.map.mapping import Mapped
from trueup.collect.map.mapping_record import RecordedMapping
from trueup.events.schema import CORE, EVENT, UTC_TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLACK = timedelta(hours=1)
"""How long before a part's commit its records may have been mapped: what is too old, or ahead of the clock, depends on it."""


@dataclass(frozen=True)
class Remapped:
    """Consecutive records of a unit: what they make. `rows` has the columns of `EVENT[stream]`, `rejected` those of `REJECTED`.

    `doubtful` are rows that the clock decides: events at the commit's clock and rejects an hour before, or the other way round;
    they are in `rows` and in `rejected`.
    """

    first_row: int
    last_row: int
    rows: pl.DataFrame
    rejected: pl.DataFrame
    doubtful: pl.Series
    lost_digits: int


def remapped(unit: Unit, mapping: RecordedMapping, taken_at_us: dict[int, int], part_records: dict[int, int]) -> Iterator[Remapped]:
    """Maps all records of a unit again, piece by piece in order; `taken_at_us` is the clock of each part's commit,
    `part_records` the number of records of each part.

    Raises `SourceError` where the unit cannot be read.
    """
    reader, source, budget = reader_of(unit), mapping.source, QuarantineBudget(unit.limits, 0)
    newest = max(taken_at_us.values())
    for number, piece in split_at_parts(reader.pieces(), part_records):
        moment = _EPOCH + timedelta(microseconds=taken_at_us.get(number, newest))
        columns = mapping.at(moment)
        wanted = columns.requested if source.format == "ndjson" else columns.requested_among(reader.columns())
        batch = reader.read(piece, wanted, attributes=source.attributes)
        made = _made(unit, mapping, batch, moment, piece.first_row, piece.first_row + len(piece) - 1)
        # Quarantine keeps the beginning of a long record, and nothing of a unit's rejects once there is no budget for more.
        yield replace(made, rejected=budget.truncate_raw(made.rejected))


def remapped_record(
    unit: Unit, mapping: RecordedMapping, place: tuple[int, int, int | None], taken_at_us: int, *, kept_bytes: int = 0
) -> tuple[bytes, Remapped]:
    """The bytes of one record as far as quarantine keeps them, and what the record makes.

    `kept_bytes` is how many bytes of the unit's other rejects the quarantine keeps. Raises `SourceError` where the unit does not
    reach that far.
    """
    reader, source = reader_of(unit), mapping.source
    moment = _EPOCH + timedelta(microseconds=taken_at_us)
    columns = mapping.at(moment)
    wanted = columns.requested if source.format == "ndjson" else columns.requested_among(reader.columns())
    batch = reader.read(reader.at(*place), wanted, attributes=source.attributes)
    made = _made(unit, mapping, batch, moment, place[0], place[0])
    raw = bytes(batch.rejected["raw"][0]) if batch.rejected.height else batch.raw([0])[0]
    rejected = QuarantineBudget(unit.limits, kept_bytes).truncate_raw(made.rejected)
    kept = QuarantineBudget(unit.limits, kept_bytes).truncate_raw(pl.DataFrame({"raw": [raw]}))["raw"][0]
    return kept, replace(made, rejected=rejected)


def _made(unit: Unit, mapping: RecordedMapping, batch: Batch, moment: datetime, first: int, last: int) -> Remapped:
    late = mapping.at(moment).apply(batch, source_id=unit.source_id, sha256=unit.sha256)
    early = late
    if _clock_decides(late, mapping, moment):
        early = mapping.at(moment - _SLACK).apply(batch, source_id=unit.source_id, sha256=unit.sha256)
    doubtful = pl.concat([_only(late, early), _only(early, late)]).unique().sort()
    rows, rejected = late.rows, late.rejected
    if doubtful.len():
        rows = pl.concat([rows, early.rows.filter(_among(doubtful))]).unique("source_row", keep="first", maintain_order=True)
        rejected = pl.concat([rejected, early.rejected.filter(_among(doubtful))]).unique(
            "source_row", keep="first", maintain_order=True
        )  # fmt: skip
    events = events_of(Mapped(rows, late.lost_digits, rejected), mapping.source, mapping.lake)
    return Remapped(first, last, events.rows, rejected, doubtful, late.lost_digits)


def _clock_decides(late: Mapped, mapping: RecordedMapping, moment: datetime) -> bool:
    """Whether some record may have been mapped otherwise a little earlier."""
    if (late.rejected["reason"] == "time_out_of_range").any():
        return True
    ahead = mapping.at(moment - _SLACK).latest
    times = [name for name, dtype in CORE[mapping.source.stream].items() if dtype == UTC_TIME]
    return bool(late.rows.select(pl.any_horizontal((pl.col(name) > ahead).any() for name in times)).item())


def _only(one: Mapped, other: Mapped) -> pl.Series:
    """The records that are events in `one` and rejected in `other`."""
    return one.rows.filter(_among(other.rejected["source_row"]))["source_row"]


def _among(rows: pl.Series) -> pl.Expr:
    return pl.col("source_row").is_in(rows.implode())


def gathered(pieces: Iterable[Remapped], *, rows: int) -> Iterator[Remapped]:
    """Consecutive pieces joined until they hold at least so many records."""
    held: list[Remapped] = []
    for piece in pieces:
        held.append(piece)
        if piece.last_row - held[0].first_row + 1 >= rows:
            yield joined(held)
            held = []
    if held:
        yield joined(held)


def joined(pieces: Sequence[Remapped]) -> Remapped:
    """Consecutive pieces as one."""
    return Remapped(
        pieces[0].first_row, pieces[-1].last_row, pl.concat([p.rows for p in pieces], rechunk=False),
        pl.concat([p.rejected for p in pieces]), pl.concat([p.doubtful for p in pieces]), sum(p.lost_digits for p in pieces),
    )  # fmt: skip


def nothing(stream: str) -> Remapped:
    """No record of a stream."""
    return Remapped(0, -1, pl.DataFrame(schema=EVENT[stream]), pl.DataFrame(schema=REJECTED), pl.Series(dtype=pl.Int64), 0)
