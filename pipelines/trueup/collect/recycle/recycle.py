"""Recycling run: maps the rejected records of sources again and commits those of each unit at a position of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.collect.commit.commit_part import Counts, Events, QuarantineBudget, events_of, quarantined_bytes
from trueup.collect.commit.earlier_form import EarlierForm, earlier_form
from trueup.collect.discover.raw_files import Archive, RecordedUnit
from trueup.collect.discover.units import Unit
from trueup.collect.ingest import select_sources
from trueup.collect.map.mapping import Mapping
from trueup.collect.map.mapping_record import RecordedMapping, mapping_of, mapping_record, mapping_version
from trueup.collect.map.presets import expand_preset
from trueup.collect.recycle.recycled_part import RecycledPart
from trueup.collect.recycle.select_records import read_records
from trueup.collect.statements import statement
from trueup.config import Project, SourceConfig
from trueup.errors import SourceError, TrueupError, list_names
from trueup.events.reasons import REASONS
from trueup.frames import query_frames
from trueup.log.lake import Configuration, Lake

RECORDS_AT_ONCE = 100_000
"""Largest number of records of a unit that one commit maps again."""


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
    """Result of a recycling: commits, errors of units that could not be read, and the number of records that were left.

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
    """Map the rejected records of the named sources again, of all without names; with `reason` only those of that reason.

    Records that fit the present mapping become events of a new position; those that a changed mapping rejects go to quarantine
    again, with their reason. The rows of the first rejection stay, so that `trueup verify` proves both. The bytes are read from
    the unit's file, found by its SHA-256 at its path, among the sources' files or in `archives`. Raises `ConfigError` for an
    unknown source, `TrueupError` for an unknown reason, and `ClockError` for a wrong clock.
    """
    if reason is not None and reason not in REASONS:
        raise TrueupError(f"unknown reason {reason!r}", where="--reason", todo=f"write one of {list_names(REASONS)}")
    selected = {source.name: expand_preset(source) for source in select_sources(project, sources)}
    summary = RecycleSummary()
    with Lake.open(project, clock=clock, threads=1) as lake:
        lake.check_clock(clock())
        rejected = query_frames(lake.connection, statement("rejected_records"), {"sources": list(selected)})
        rejected = rejected.filter(pl.col("reason") == reason) if reason is not None else rejected
        archive = Archive(project, tuple(archives), frozenset(rejected["sha256"].to_list()))
        for (name,), of_source in rejected.group_by("source", maintain_order=True):
            run = _SourceRecycling.of(lake, selected[str(name)])
            for _, of_unit in of_source.group_by("source_id", maintain_order=True):
                _recycle_unit(run, archive, of_unit, summary)
    return summary


@dataclass(frozen=True)
class _SourceRecycling:
    """Inputs that the units of one source share: the present mapping, as the log records it and at the time of this run."""

    lake: Lake
    source: SourceConfig
    recorded: Configuration
    present: RecordedMapping
    mapping: Mapping
    earlier: EarlierForm | None

    @classmethod
    def of(cls, lake: Lake, source: SourceConfig) -> _SourceRecycling:
        """Return the inputs of a source."""
        version = mapping_version(lake, source)
        present = mapping_of(lake.project, source, version)
        earlier = earlier_form(lake.connection, present)
        return cls(lake, source, mapping_record(lake.project, source, version), present, present.at(lake.clock()), earlier)


def _recycle_unit(run: _SourceRecycling, archive: Archive, rejected: pl.DataFrame, summary: RecycleSummary) -> None:
    first = rejected.row(0, named=True)
    recorded = RecordedUnit(first["source_id"], first["path"], first["sha256"], first["size_bytes"])
    # The same mapping rejects a record again, unless the clock decided.
    may_fit = (pl.col("mapping").ne_missing(run.recorded.id)) | (pl.col("reason") == "time_out_of_range")
    candidates, committed = rejected.filter(may_fit), 0
    summary.left += rejected.height
    if candidates.is_empty():
        return
    try:
        with archive.unit(recorded, run.source) as delivered:
            unit = replace(delivered, recycled_by=run.recorded.id)
            for claims in candidates.iter_slices(RECORDS_AT_ONCE):
                done = _commit_claims(run, unit, claims)
                if done is not None:
                    committed += done.records
                    summary.units.append(done)
    except SourceError as error:
        summary.errors.append(error)
    summary.left -= committed


def _commit_claims(run: _SourceRecycling, unit: Unit, claims: pl.DataFrame) -> RecycledRecords | None:
    """Map some records of a unit again and commit them; return None where there is nothing to commit."""
    repeated = claims.filter(pl.col("mapping") == run.recorded.id)["source_row"]
    ((number,),) = run.lake.connection.execute(statement("next_part"), {"source_id": unit.source_id}).fetchall()
    budget = QuarantineBudget(unit.limits, quarantined_bytes(run.lake, unit.source_id))
    part = RecycledPart(run.lake, unit, number, budget, run.recorded, run.earlier)
    part.claim(claims)
    for events, filtered in _map_again(run, unit, claims, repeated):
        part.add(events)
        part.leave_out(filtered)
    committed = part.commit(is_last=True, declared_records=None)
    if committed is None:
        return None
    counts: Counts = committed.counts
    return RecycledRecords(
        unit.source.name, unit.shown, counts.records, counts.accepted, counts.duplicate, counts.filtered, counts.quarantined,
        committed.position,
    )  # fmt: skip


def _map_again(run: _SourceRecycling, unit: Unit, claims: pl.DataFrame, repeated: pl.Series) -> Iterator[tuple[Events, pl.Series]]:
    """Yield the events of records, and the numbers of those that `where` leaves out, as the present mapping maps them.

    Records of `repeated` that it rejects again are omitted: their quarantine has the same mapping already.
    """
    for batch in read_records(unit, run.mapping, claims):
        mapped = run.mapping.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
        rejected = mapped.rejected.filter(~pl.col("source_row").is_in(repeated.implode()))
        yield events_of(replace(mapped, rejected=rejected), run.source, run.lake.project.config.lake), mapped.filtered
