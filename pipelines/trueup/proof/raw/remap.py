"""Remapping: maps a unit's raw bytes again with the unit's own mapping, which gives events and rejected records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.collect.commit.commit_part import QuarantineBudget, events_of
from trueup.collect.decode.decoded import REJECTED, Batch
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import Unit
from trueup.collect.ingest import split_at_parts
from trueup.collect.map.mapping import Mapped
from trueup.collect.map.mapping_record import RecordedMapping
from trueup.collect.recycle.select_records import read_records
from trueup.events.declared_sums import ReadSum, add_sums
from trueup.events.schema import CORE, EVENT, READABLE, UTC_TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLACK = timedelta(hours=1)
"""Maximum time between mapping and commit of a part; it affects whether a time is too old or ahead of the clock."""


@dataclass(frozen=True)
class RemappedRecords:
    """Events and rejected records of consecutive records of a unit.

    `rows` has the columns of `EVENT[stream]`, `rejected` those of `REJECTED`. `clock_dependent` has the numbers of records that are
    events at the commit's clock and rejected an hour before, or the reverse. Both `rows` and `rejected` have these records.
    `filtered` has the numbers of records that the source's `where` leaves out. `sums` has the columns whose sum the sender
    declares.
    """

    first_row: int
    last_row: int
    rows: pl.DataFrame
    rejected: pl.DataFrame
    clock_dependent: pl.Series
    filtered: pl.Series
    lost_digits: int
    sums: dict[str, ReadSum] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Number of records."""
        return self.rows.height + self.rejected.height + len(self.filtered) - len(self.clock_dependent)


def remap_unit(
    unit: Unit, mapping: RecordedMapping, taken_at_us: dict[int, int], part_records: dict[int, int], *, is_complete: bool = True
) -> Iterator[RemappedRecords]:
    """Map the records of a unit again and yield them piece by piece, in order.

    `taken_at_us` is the clock of each part's commit, `part_records` the number of records of each part. Of a unit that is not
    complete, the records after those parts are left out. Raises `SourceError`
    where the unit cannot be read.
    """
    reader, source, budget = reader_of(unit), mapping.source, QuarantineBudget(unit.limits, 0)
    newest = max(taken_at_us.values())
    for number, piece in split_at_parts(reader.pieces(), part_records):
        if not is_complete and number not in part_records:
            break
        moment = _EPOCH + timedelta(microseconds=taken_at_us.get(number, newest))
        columns = mapping.at(moment)
        requested = columns.requested_of(reader)
        batch = reader.read(piece, requested, attributes=source.attributes, kept=columns.kept)
        remapped = _remap_batch(unit, mapping, batch, moment, piece.first_row, piece.first_row + len(piece) - 1)
        # Quarantine stores the beginning of a long record, and no bytes once the unit's budget is used up.
        yield replace(remapped, rejected=budget.truncate_raw(remapped.rejected))


def remap_recycled(unit: Unit, mapping: RecordedMapping, records: pl.DataFrame, taken_at_us: dict[int, int]) -> RemappedRecords:
    """Map again the records of a unit that were recycled (`part_no` and the columns of `PROVENANCE`), in one piece.

    `taken_at_us` is the clock of each part's commit. Raises `SourceError` where the unit cannot be read.
    """
    budget, pieces = QuarantineBudget(unit.limits, 0), [no_records(mapping.source.stream)]
    for (number,), of_part in records.group_by("part_no", maintain_order=True):
        moment = _EPOCH + timedelta(microseconds=taken_at_us[int(str(number))])
        for batch in read_records(unit, mapping.at(moment), of_part):
            remapped = _remap_batch(unit, mapping, batch, moment, 0, 0)
            pieces.append(replace(remapped, rejected=budget.truncate_raw(remapped.rejected)))
    whole = concat_pieces(pieces)
    numbers: list[int] = records["source_row"].to_list()
    return replace(whole, first_row=min(numbers, default=0), last_row=max(numbers, default=-1))


def remap_record(
    unit: Unit, mapping: RecordedMapping, provenance: tuple[int, int, int | None], taken_at_us: int, *, used_bytes: int = 0
) -> tuple[bytes, RemappedRecords]:
    """Return the bytes of one record as quarantine would store them, and the remapped record.

    `used_bytes` is the size of the unit's other rejects in the quarantine. Raises `SourceError` where the unit ends before the
    record.
    """
    reader, source = reader_of(unit), mapping.source
    moment = _EPOCH + timedelta(microseconds=taken_at_us)
    columns = mapping.at(moment)
    requested = columns.requested_of(reader)
    batch = reader.read(reader.at(*provenance), requested, attributes=source.attributes, kept=columns.kept)
    remapped = _remap_batch(unit, mapping, batch, moment, provenance[0], provenance[0])
    # A record of another type than the source's is not decoded.
    raw = bytes(batch.rejected["raw"][0]) if batch.rejected.height else batch.raw([0])[0] if batch.provenance.height else b""
    rejected = QuarantineBudget(unit.limits, used_bytes).truncate_raw(remapped.rejected)
    stored_raw = QuarantineBudget(unit.limits, used_bytes).truncate_raw(pl.DataFrame({"raw": [raw]}))["raw"][0]
    return stored_raw, replace(remapped, rejected=rejected)


def _remap_batch(unit: Unit, mapping: RecordedMapping, batch: Batch, moment: datetime, first: int, last: int) -> RemappedRecords:
    late = mapping.at(moment).apply(batch, source_id=unit.source_id, sha256=unit.sha256)
    early = late
    if _is_decided_by_clock(late, mapping, moment):
        early = mapping.at(moment - _SLACK).apply(batch, source_id=unit.source_id, sha256=unit.sha256)
    clock_dependent = pl.concat([_find_accepted_only_in(late, early), _find_accepted_only_in(early, late)]).unique().sort()
    rows, rejected = late.rows, late.rejected
    if clock_dependent.len():
        rows = pl.concat([rows, early.rows.filter(_is_among(clock_dependent))]).unique(
            "source_row", keep="first", maintain_order=True
        )
        rejected = pl.concat([rejected, early.rejected.filter(_is_among(clock_dependent))]).unique(
            "source_row", keep="first", maintain_order=True
        )  # fmt: skip
    # Quarantine keeps those values of a rejected record that the recorded mapping kept.
    rejected = rejected.with_columns(pl.lit(None, READABLE[name]).alias(name) for name in READABLE if name not in mapping.readable)
    events = events_of(Mapped(rows, late.lost_digits, rejected, late.filtered), mapping.source, mapping.lake)
    return RemappedRecords(first, last, events.rows, rejected, clock_dependent, late.filtered, late.lost_digits, late.sums)


def _is_decided_by_clock(late: Mapped, mapping: RecordedMapping, moment: datetime) -> bool:
    """Return whether a record may have been mapped differently a little earlier."""
    if (late.rejected["reason"] == "time_out_of_range").any():
        return True
    ahead = mapping.at(moment - _SLACK).latest
    times = [name for name, dtype in CORE[mapping.source.stream].items() if dtype == UTC_TIME]
    return bool(late.rows.select(pl.any_horizontal((pl.col(name) > ahead).any() for name in times)).item())


def _find_accepted_only_in(accepted: Mapped, other: Mapped) -> pl.Series:
    """Return the numbers of records that are events in `accepted` and rejected in `other`."""
    return accepted.rows.filter(_is_among(other.rejected["source_row"]))["source_row"]


def _is_among(rows: pl.Series) -> pl.Expr:
    return pl.col("source_row").is_in(rows.implode())


def join_pieces(pieces: Iterable[RemappedRecords], *, rows: int) -> Iterator[RemappedRecords]:
    """Join consecutive pieces until they have at least `rows` records."""
    held: list[RemappedRecords] = []
    for piece in pieces:
        held.append(piece)
        if piece.last_row - held[0].first_row + 1 >= rows:
            yield concat_pieces(held)
            held = []
    if held:
        yield concat_pieces(held)


def concat_pieces(pieces: Sequence[RemappedRecords]) -> RemappedRecords:
    """Return consecutive pieces as one."""
    return RemappedRecords(
        pieces[0].first_row, pieces[-1].last_row, pl.concat([p.rows for p in pieces], rechunk=False),
        pl.concat([p.rejected for p in pieces]), pl.concat([p.clock_dependent for p in pieces]),
        pl.concat([p.filtered for p in pieces]), sum(p.lost_digits for p in pieces), add_sums([p.sums for p in pieces]),
    )  # fmt: skip


def no_records(stream: str) -> RemappedRecords:
    """Return an empty piece of a stream."""
    none = pl.Series(dtype=pl.Int64)
    return RemappedRecords(0, -1, pl.DataFrame(schema=EVENT[stream]), pl.DataFrame(schema=REJECTED), none, none, 0)
