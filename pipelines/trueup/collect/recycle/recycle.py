"""Recycling run: maps the rejected records of sources again, and commits the records of each unit at a separate position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.collect.commit.commit_part import PART_BYTES, PART_RECORDS, Counts, QuarantineBudget, quarantined_bytes
from trueup.collect.commit.source_mapping import SourceMapping
from trueup.collect.discover.raw_files import Archive, RecordedUnit
from trueup.collect.discover.units import Unit
from trueup.collect.ingest import select_sources
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.recycle.recycled_part import Claims, RecycledPart
from trueup.collect.recycle.select_records import read_records
from trueup.collect.statements import statement
from trueup.config import Project
from trueup.errors import SourceError, TrueupError, list_names
from trueup.events.reasons import REASONS
from trueup.frames import query_frames
from trueup.log.lake import Lake

RECORDS_PER_PASS = 2_000_000
"""Largest number of records whose provenance is in memory in one pass over a unit's file."""

_UNIT = ("delivered_id", "path", "sha256", "size_bytes")


@dataclass(frozen=True)
class RecycledRecords:
    """Records of one unit mapped again and committed at `position`: records = accepted + duplicate + filtered + quarantined."""

    source: str
    path: str
    records: int
    accepted: int
    duplicate: int
    filtered: int
    quarantined: int
    position: int


@dataclass
class RecycleSummary:
    """Result of a recycling run: commits, errors of units that could not be read, and the number of records left in quarantine.

    Records are left in quarantine where the mapping that rejected them still rejects them, or where their unit was not read.
    """

    units: list[RecycledRecords] = field(default_factory=list)
    errors: list[TrueupError] = field(default_factory=list)
    left: int = 0


def recycle(
    project: Project,
    *,
    sources: Sequence[str] = (),
    reason: str | None = None,
    archives: Sequence[Path] = (),
    clock: Clock = system_clock,
) -> RecycleSummary:
    """Map the rejected records of the named sources again; without names, of all sources. `reason` limits them to one reason.

    Records that fit the present mapping become events at a new position. Records that a changed mapping rejects again go to
    quarantine with the new reason. The rows of the first rejection stay, so `trueup verify` can prove both. The bytes are read from
    the unit's file, found by its SHA-256 at its path, among the sources' files or in `archives`. Raises `ConfigError` for an
    unknown source, `TrueupError` for an unknown reason, and `ClockError` for a wrong clock.
    """
    if reason is not None and reason not in REASONS:
        raise TrueupError(f"unknown reason {reason!r}", where="--reason", todo=f"write one of {list_names(REASONS)}")
    selected = {source.name: with_implied_settings(source) for source in select_sources(project, sources)}
    summary = RecycleSummary()
    with Lake.open(project, clock=clock, threads=1) as lake:
        lake.check_clock(clock())
        rejected = query_frames(lake.connection, statement("rejected_units"), {"sources": list(selected), "reason": reason})
        archive = Archive(project, tuple(archives), frozenset(rejected["sha256"].to_list()))
        for (name,), units in rejected.group_by("source", maintain_order=True):
            run = _Run(SourceMapping(lake, selected[str(name)]), reason, summary)
            for unit in units.iter_rows(named=True):
                _recycle_unit(run, archive, unit)
    return summary


@dataclass(frozen=True)
class _Run:
    """Inputs that the units of one source share, and the summary of the run."""

    of_today: SourceMapping
    reason: str | None
    summary: RecycleSummary


def _recycle_unit(run: _Run, archive: Archive, rejected: dict[str, Any]) -> None:
    """Map the records of one unit again in passes over its file, each of a bounded number of records."""
    is_present = rejected["mapping"] == run.of_today.recorded.id
    run.summary.left += rejected["records"]
    # The same mapping would reject a record again, unless the reason depended on the clock.
    if is_present and not rejected["records_out_of_range"]:
        return
    try:
        with archive.unit(RecordedUnit(*(rejected[name] for name in _UNIT)), run.of_today.source) as delivered:
            unit = replace(delivered, recycled_by=run.of_today.recorded.id)
            for claims in _list_claims(run, rejected["source_id"], is_present):
                for done in _commit_claims(run, unit, Claims(rejected["delivered_id"], claims, is_present)):
                    run.summary.left -= done.records
                    run.summary.units.append(done)
    except SourceError as error:
        run.summary.errors.append(error)


def _list_claims(run: _Run, source_id: str, is_present: bool) -> Iterator[pl.DataFrame]:
    """Yield the rejected records of a unit that may fit now, at most `RECORDS_PER_PASS` at a time, in the order of the file."""
    values = {"source_id": source_id, "reason": run.reason, "is_present": is_present, "most": RECORDS_PER_PASS, "after": -1}
    while True:
        records = query_frames(run.of_today.lake.connection, statement("rejected_records"), values)
        if records.is_empty():
            return
        values["after"] = records["source_row"][-1]
        yield records


def _commit_claims(run: _Run, unit: Unit, claims: Claims) -> Iterator[RecycledRecords]:
    """Map the records of one pass again and commit them in parts; yield the counts of each commit."""
    part, records, size = _begin_next_part(run, unit, claims), 0, 0
    for batch in read_records(unit, run.of_today.mapping, claims.records):
        mapped = run.of_today.mapping.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
        part.add_mapped(mapped)
        records, size = records + mapped.records, size + int(batch.provenance["source_length"].sum())
        if records >= PART_RECORDS or size >= PART_BYTES:
            yield from _commit_part(part, unit)
            part, records, size = _begin_next_part(run, unit, claims), 0, 0
    yield from _commit_part(part, unit)


def _begin_next_part(run: _Run, unit: Unit, claims: Claims) -> RecycledPart:
    lake = run.of_today.lake
    ((number,),) = lake.connection.execute(statement("next_part"), {"source_id": unit.source_id}).fetchall()
    return RecycledPart(run.of_today, unit, number, QuarantineBudget(unit.limits, quarantined_bytes(lake, unit.source_id)), claims)


def _commit_part(part: RecycledPart, unit: Unit) -> Iterator[RecycledRecords]:
    committed = part.commit(is_last=True, declared_records=None)
    if committed is not None:
        counts: Counts = committed.counts
        yield RecycledRecords(
            unit.source.name, unit.shown, counts.records, counts.accepted, counts.duplicate, counts.filtered,
            counts.quarantined, committed.position,
        )  # fmt: skip
