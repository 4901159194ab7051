"""Summary of a log for project checks, read without a scan of reconciled records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from trueup.config import Project
from trueup.config.tables.reconcile import DEFAULT
from trueup.events.streams import MOVEMENTS
from trueup.log.lake import Lake
from trueup.project_checks.statements import statement
from trueup.reconcile.domain.consumer import CONSUMER


@dataclass(frozen=True)
class SourceDeliveries:
    """Deliveries of a source: accepted records, the paths of its newest units, and whether it was ever closed."""

    stream: str
    accepted: int
    newest_paths: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True)
class SameContent:
    """Two sources that delivered units of the same bytes: the number of such units, and the path of one."""

    first: str
    second: str
    units: int
    path: str


@dataclass(frozen=True)
class RefusedUnit:
    """A source unit with records in quarantine that no recycling has mapped again; `example` is a reason and its rule."""

    source: str
    path: str
    records: int
    refused: int
    example: str


@dataclass(frozen=True)
class MovedRecords:
    """Records of a source whose versions have different bucket keys: their number, and the key of one."""

    source: str
    stream: str
    records: int
    example: str


@dataclass(frozen=True)
class OtherZones:
    """Subscriptions with another time zone than the project: their number, and one such zone."""

    subscriptions: int
    example: str


@dataclass(frozen=True)
class LogSummary:
    """Summary of a log.

    `used` are the services with usage, and `billed` the currencies of the charges by service. `rated` are the services of the
    tariff book, and `unseen` the services with a table `[reconcile.SERVICE]` and without a record.
    """

    sources: dict[str, SourceDeliveries] = field(default_factory=dict)
    same_content: tuple[SameContent, ...] = ()
    refused: tuple[RefusedUnit, ...] = ()
    moved: tuple[MovedRecords, ...] = ()
    other_zones: OtherZones | None = None
    used: frozenset[str] = frozenset()
    billed: dict[str, frozenset[str]] = field(default_factory=dict)
    rated: frozenset[str] = frozenset()
    unseen: tuple[str, ...] = ()

    @property
    def services(self) -> frozenset[str]:
        """Services with any record."""
        return self.used.union(self.billed)

    def has_records(self, stream: str) -> bool:
        """Return whether the log accepted a record of a stream."""
        return any(deliveries.stream == stream and deliveries.accepted for deliveries in self.sources.values())


def summarise_sources(lake: Lake) -> LogSummary:
    """Return the deliveries of an open lake's sources, without reading a record."""
    return _summarise_sources(lake, _read_rows(lake, "sources", {"after": 0}))


def summarise_log(lake: Lake, project: Project, *, most_records: int | None = None) -> LogSummary:
    """Return the summary of an open lake; scan only records that are not reconciled yet, and none if they are too many.

    With more than `most_records` unreconciled records, the summary has only the services of reconciled records. Commands that run
    often and read no records themselves set this limit.
    """
    after = lake.snapshot_of(lake.consumer_position(CONSUMER))
    sources = _read_rows(lake, "sources", {"after": after})
    waiting = sum(row["waiting"] for row in sources if row["stream"] in MOVEMENTS)
    used, billed = set[str](), dict[str, set[str]]()
    for row in _services(lake, after, scans=0 < waiting <= (waiting if most_records is None else most_records)):
        if row["service"] is not None:
            if row["is_used"]:
                used.add(row["service"])
            if row["is_billed"]:
                billed.setdefault(row["service"], set()).add(row["currency"])
    summary = _summarise_sources(lake, sources)
    has_records = summary.has_records("usage") or summary.has_records("charge")
    has_book = summary.has_records("tariff")
    return replace(
        summary,
        moved=tuple(_find_moved_records(lake, project)),
        other_zones=_find_other_zones(lake, project),
        used=frozenset(used),
        billed={service: frozenset(currencies) for service, currencies in billed.items()},
        rated=frozenset(row["service"] for row in _read_rows(lake, "rated_services")) if has_book else frozenset(),
        unseen=tuple(_find_services_without_records(lake, project.config.reconcile, used.union(billed))) if has_records else (),
    )


def _summarise_sources(lake: Lake, rows: list[dict[str, Any]]) -> LogSummary:
    sources = {
        row["source"]: SourceDeliveries(row["stream"], row["accepted"], tuple(row["newest_paths"]), row["closed"]) for row in rows
    }
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in _read_rows(lake, "same_content"):
        for first, second in combinations(row["sources"], 2):
            pairs.setdefault((first, second), []).append(row["path"])
    same = (SameContent(first, second, len(paths), paths[0]) for (first, second), paths in pairs.items())
    refused = _read_rows(lake, "refused_records", {"horizon_us": lake.project.config.project.horizon})
    return LogSummary(sources, tuple(same), tuple(RefusedUnit(**row) for row in refused))


def _find_moved_records(lake: Lake, project: Project) -> Iterable[MovedRecords]:
    """Yield reconciled records whose corrections have another bucket key; streams without versions are not read."""
    versioned = {s.stream for s in project.config.source if s.stream in MOVEMENTS and "record_version" in s.columns}
    if not versioned:
        return
    # This import loads Polars, which no other summary needs.
    from trueup.events.identity import bucket_key_sql

    for stream in sorted(versioned):
        key = bucket_key_sql(project.config.lake.bucket_by, of="e")
        yield from (MovedRecords(**row) for row in _read_rows(lake, "moved_records", stream=stream, bucket_key=key))


def _find_other_zones(lake: Lake, project: Project) -> OtherZones | None:
    """Return the subscriptions with a time zone of their own; states without zones are not read."""
    if all("timezone" not in {*s.columns, *s.constants} for s in project.config.source if s.stream == "subscriber"):
        return None
    (row,) = _read_rows(lake, "other_zones", {"zone": project.config.project.timezone})
    return OtherZones(**row) if row["subscriptions"] else None


def _services(lake: Lake, after: int, *, scans: bool) -> list[dict[str, Any]]:
    """Return the services and currencies of records: read the ledger for reconciled records, and the records committed later."""
    tables = {name: f"lake.events.{name}" for name in MOVEMENTS}
    if not scans:
        tables = {name: f"(SELECT *, snapshot_id FROM {table} WHERE false)" for name, table in tables.items()}
    elif lake.oldest_snapshot <= after:
        # This relation reads only the data files of later commits.
        last = lake.snapshot_of(lake.last_position())
        tables = {name: f"ducklake_table_insertions('lake', 'events', '{name}', {after}, {last})" for name in tables}
    return _read_rows(lake, "services", {"after": after}, **tables)


def _find_services_without_records(lake: Lake, tables: Iterable[str], with_sums: set[str]) -> Iterable[str]:
    """Yield services without a record. Free usage leaves no sum, so the records of a service without a sum are searched."""
    for service in tables:
        if (
            service != DEFAULT
            and service not in with_sums
            and not _read_rows(lake, "has_service", {"service": service})[0]["has_records"]
        ):
            yield service


def _read_rows(lake: Lake, name: str, values: dict[str, object] | None = None, **identifiers: str) -> list[dict[str, Any]]:
    # The rows are plain values: `status` needs no frames, and importing Polars takes longer than these queries.
    result = lake.connection.execute(statement(name, **identifiers), values or {})
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
