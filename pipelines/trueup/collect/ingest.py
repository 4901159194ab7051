"""Ingestion: turns every new source unit of a project into events, one commit per part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import polars as pl

from trueup.clock import Clock, system_clock
from trueup.collect.commit.commit_part import (
    PART_BYTES,
    PART_RECORDS,
    Committed,
    Counts,
    Events,
    IngestedParts,
    Part,
    QuarantineBudget,
    events_of,
    ingested_units,
    quarantined_bytes,
)
from trueup.collect.commit.source_mapping import SourceMapping
from trueup.collect.decode.decoded import Piece, Reader, attribute_name_bytes
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.arrival import check_marker, is_complete
from trueup.collect.discover.manifest import DeclaredContent, read_manifest
from trueup.collect.discover.shared_files import refuse_shared_files
from trueup.collect.discover.units import SourceFiles, Unit, find_files, is_below, open_unit, vanished_error
from trueup.collect.map.declared_sums import declared_micros
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.statements import statement
from trueup.config import Project, SourceConfig
from trueup.errors import ConfigError, SourceError, TrueupError
from trueup.events.streams import MOVEMENTS
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.log.ticks import TICK, declare_idle
from trueup.policies.declared import ensure_policy
from trueup.quality.project_expectations import row_rules

_READERS = 2
_AHEAD = 4
"""How many pieces are read while an earlier one is committed: enough to use two cores, few enough to bound memory."""

_PIECE_RECORDS = 1 << 16
"""Maximum number of records in a piece."""


class Progress(Protocol):
    """Receiver of ingestion progress."""

    def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
        """Record that `done_bytes` of the unit's `total_bytes` have been read."""


class _Silent:
    def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
        """Ignore the progress."""


@dataclass(frozen=True)
class UnitResult:
    """Result of one unit in this run; the counts cover what this run committed."""

    source: str
    path: str
    outcome: Literal["taken", "known"]
    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    lost_digits: int = 0
    positions: list[int] = field(default_factory=list)


@dataclass
class IngestSummary:
    """Result of one ingestion run: units, errors of units that could not be ingested, and notices for the user."""

    units: list[UnitResult] = field(default_factory=list)
    errors: list[TrueupError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


Choose = Callable[[SourceConfig, Path], bool]
"""Returns whether a file of a source is to be ingested now."""


def ingest(
    project: Project,
    *,
    sources: Sequence[str] = (),
    clock: Clock = system_clock,
    progress: Progress | None = None,
    choose: Choose | None = None,
) -> IngestSummary:
    """Ingest the units of the named sources that the log does not have yet; without names, of all sources.

    Creates the lake if there is none. A unit that cannot be ingested becomes an error of the summary; the other units are still
    ingested. Files for which `choose` returns False are left for a later run. Without `choose`, incomplete files are left (see
    `trueup.collect.discover.arrival`), and a notice names their number. Raises `ConfigError` for a source that is not configured,
    contradictory settings and a file that two sources read. Raises `ClockError` for a wrong clock, and `LogError` when the log
    refuses a commit (a full disk). Committed parts stay in the log, and the next run resumes after them.
    """
    selected = select_sources(project, sources)
    for source in selected:
        # An invalid rule stops the run before anything is ingested without it.
        row_rules(project, source)
    refuse_shared_files(project, selected)
    summary = IngestSummary()
    Lake.create(project)
    # A thread for each unit would open a DuckDB instance for each.
    with Lake.open(project, clock=clock, threads=1) as lake, ThreadPoolExecutor(_READERS) as pool:
        lake.check_clock(clock())
        ensure_policy(lake)
        # One query for all sources; the id of a unit names its source.
        ingested, complete = ingested_units(lake, [source.name for source in selected]), set[str]()
        for source in map(with_implied_settings, selected):
            _ingest_source(_SourceRun(lake, source, progress or _Silent(), pool, ingested, complete), summary, choose)
        if any(source.idle_after is not None for source in project.config.source if source.stream in MOVEMENTS):
            lake.commit(lambda transaction: transaction.declare(TICK, through=clock()))
        declare_idle(lake)
        summary.notices.extend(_find_recyclable(lake, selected))
    return summary


def _find_recyclable(lake: Lake, sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Yield a notice for each source whose mapping has changed since some of its records were rejected."""
    values = {"sources": [source.name for source in sources], "reason": None}
    units = query_frames(lake.connection, statement("rejected_units"), values)
    for source in map(with_implied_settings, [source for source in sources if source.name in set(units["source"])]):
        present = SourceMapping(lake, source).recorded.id
        changed = units.filter(pl.col("source") == source.name, pl.col("mapping").ne_missing(present))
        if not changed.is_empty():
            yield (
                f"source {source.name}: its mapping has changed since {changed['records'].sum()} of its records were rejected; "
                f"`trueup recycle --source {source.name}` maps them again"
            )


def select_sources(project: Project, names: Sequence[str]) -> list[SourceConfig]:
    """Return the sources of these names, or all without names; raise `ConfigError` for one that is not configured."""
    configured = {source.name: source for source in project.config.source}
    for name in names:
        if name not in configured:
            raise ConfigError(f"there is no source {name!r}; there are {', '.join(configured) or 'none'}", where="trueup.toml")
    return [source for name, source in configured.items() if not names or name in names]


def _ingest_source(run: _SourceRun, summary: IngestSummary, choose: Choose | None) -> None:
    lake, source = run.lake, run.source
    files = find_files(lake.project, source)
    summary.errors.extend(files.errors)
    summary.errors.extend(_find_vanished_folders(lake.project, source, files, run.ingested))
    ready = [path for path in files.paths if (choose or _choose_complete(lake.clock()))(source, path)]
    if choose is None and len(ready) < len(files.paths):
        summary.notices.append(f"source {source.name}: {len(files.paths) - len(ready)} not complete yet, left for the next run")
    for path in ready:
        try:
            summary.units.append(_ingest_unit(run, path))
        except SourceError as error:
            summary.errors.append(error)


def find_vanished_folders(lake: Lake, source: SourceConfig, files: SourceFiles) -> list[SourceError]:
    """Return the errors of folders of a source that do not exist, although the log has files of them."""
    return _find_vanished_folders(lake.project, source, files, ingested_units(lake, [source.name]))


def _find_vanished_folders(
    project: Project, source: SourceConfig, files: SourceFiles, ingested: dict[str, IngestedParts]
) -> list[SourceError]:
    delivered = [unit.path for source_id, unit in ingested.items() if source_id.startswith(f"{source.name}@")]
    return [vanished_error(project, source, folder) for folder in files.missing if is_below(project, folder, delivered)]


def _choose_complete(now: datetime) -> Choose:
    return lambda source, path: is_complete(source, path, now)


@dataclass(frozen=True)
class _SourceRun:
    """Inputs that the units of one source share in one run; inputs that only new units need are read with the first new unit.

    `ingested` has the units of all sources that the log had parts of, by id; `complete` has the ids that this run completed.
    """

    lake: Lake
    source: SourceConfig
    progress: Progress
    pool: ThreadPoolExecutor
    ingested: dict[str, IngestedParts]
    complete: set[str]

    @cached_property
    def of_today(self) -> SourceMapping:
        """The mapping of this run."""
        is_new = not any(unit.startswith(f"{self.source.name}@") for unit in self.ingested)
        return SourceMapping(self.lake, self.source, is_new)


def _ingest_unit(run: _SourceRun, path: Path) -> UnitResult:
    lake, source = run.lake, run.source
    with open_unit(lake.project, source, path) as unit:
        # A query per file would take as long as its commit. The commit itself detects parts that were added since then.
        ingested = run.ingested.get(unit.source_id, IngestedParts())
        if ingested.is_complete or unit.source_id in run.complete:
            return UnitResult(source.name, unit.shown, "known")
        unit.check_readable_to_end()
        check_marker(source, path, shown=unit.shown)
        declared = read_manifest(lake.project, unit)
        reader = reader_of(unit)
        run.of_today.mapping.check(reader.columns(), where=unit.shown, required_only=not source.has_equal_records)
        counts, positions = Counts(), list[int]()
        for committed in _commit_parts(run, unit, reader, ingested.parts, declared):
            counts, positions = counts + committed.counts, [*positions, committed.position]
        run.complete.add(unit.source_id)
        # Another process may have ingested every part in the meantime.
        return UnitResult(source.name, unit.shown, "taken" if positions else "known", **asdict(counts), positions=positions)


def _commit_parts(
    run: _SourceRun, unit: Unit, reader: Reader, taken: dict[int, int], declared: DeclaredContent
) -> Iterator[Committed]:
    """Commit the parts that the log lacks, in order. A part is committed when the next one begins, the last at the end."""
    part: Part | None = None
    budget = QuarantineBudget(unit.limits, quarantined_bytes(run.lake, unit.source_id) if taken else 0)
    with closing(_read_parts(run, unit, reader, taken)) as pieces:
        for number, events in pieces:
            if part is not None and part.number != number:
                yield from _commit_part(part, unit, reader, declared, is_last=False)
            if part is None or part.number != number:
                part = Part(run.of_today, unit, number, budget)
            part.add(events)
    # A unit without records is ingested too: its control row states zero records.
    yield from _commit_part(part or Part(run.of_today, unit, 0, budget), unit, reader, declared, is_last=True)


def _commit_part(part: Part, unit: Unit, reader: Reader, declared: DeclaredContent, *, is_last: bool) -> Iterator[Committed]:
    unit.check_unchanged()
    records = reader.declared_records if declared.records is None else declared.records
    sums = declared_micros(unit.source, reader.declared_sums, where=unit.shown)
    committed = part.commit(is_last=is_last, declared_records=records, declared_sums=sums)
    if committed is not None:
        yield committed


def _read_parts(run: _SourceRun, unit: Unit, reader: Reader, taken: dict[int, int]) -> Generator[tuple[int, Events], None, None]:
    """Yield the events of the parts that the log lacks, in order, while a few pieces ahead are being read.

    Once the generator is closed, no thread reads the unit.
    """
    mapping, progress = run.of_today.mapping, run.progress
    requested = mapping.requested_of(reader)

    def read_events(piece: Piece) -> Events:
        batch = reader.read(piece, requested, attributes=unit.source.attributes, kept=mapping.kept)
        mapped = mapping.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
        return events_of(mapped, unit.source, run.lake.project.config.lake)

    waiting = deque[tuple[int, Future[Events]]]()
    has_names = unit.source.attributes and unit.source.has_equal_records
    # Sorting a part for its commit holds its attributes in memory twice, so fewer pieces are read ahead.
    mapped = set(requested).difference(mapping.kept)
    further = [name for name in reader.columns() if name not in mapped]
    name_bytes = 2 * attribute_name_bytes(further) if has_names else 0
    try:
        for number, piece in split_at_parts(reader.pieces(), taken, name_bytes):
            progress.update(unit.shown, unit.position_bytes(), unit.size_bytes)
            if number not in taken:
                waiting.append((number, run.pool.submit(read_events, piece)))
            if len(waiting) >= _AHEAD:
                yield _take_next(waiting)
        while waiting:
            yield _take_next(waiting)
    finally:
        wait([future for _, future in waiting if not future.cancel()])
    progress.update(unit.shown, unit.size_bytes, unit.size_bytes)


def _take_next(waiting: deque[tuple[int, Future[Events]]]) -> tuple[int, Events]:
    number, future = waiting.popleft()
    return number, future.result()


def split_at_parts(pieces: Iterable[Piece], taken: dict[int, int], name_bytes: int = 0) -> Iterator[tuple[int, Piece]]:
    """Cut pieces at the borders of parts and yield each with its part's number; `taken` has the records of ingested parts.

    `name_bytes` are added to the bytes of each record: its attributes repeat the names of the columns that have no mapping.
    """
    number, records, size = 0, 0, 0
    for piece in pieces:
        ends, at, base = np.cumsum(piece.held_bytes + name_bytes), 0, 0
        while at < len(piece):
            if number in taken:
                until = at + taken[number] - records
            else:
                by_size = int(np.searchsorted(ends, base + PART_BYTES - size)) + 1
                until = min(at + PART_RECORDS - records, by_size)
            is_end = until <= len(piece)
            until = min(until, len(piece))
            for begin in range(at, until, _PIECE_RECORDS):
                yield number, piece.only(slice(begin, min(until, begin + _PIECE_RECORDS)))
            records, size = records + until - at, size + int(ends[until - 1]) - base
            at, base = until, int(ends[until - 1])
            if is_end:
                number, records, size = number + 1, 0, 0
