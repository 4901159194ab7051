"""What rules about a project need to know of its log, read without a scan of the records that are reconciled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from trueup.config import Project
from trueup.events.schema import MOVEMENTS
from trueup.log.lake import Lake
from trueup.project_checks.statements import statement
from trueup.reconcile.domain.policies import DEFAULT
from trueup.reconcile.log_io.commit import CONSUMER


@dataclass(frozen=True)
class SourceBrought:
    """What a source has brought: accepted records, the paths of its newest units, and whether it was ever closed."""

    stream: str
    accepted: int
    newest_paths: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True)
class SameContent:
    """Two sources that brought units of the same bytes: how many, and the path of one."""

    first: str
    second: str
    units: int
    path: str


@dataclass(frozen=True)
class LogSummary:
    """The log as rules see it.

    `used` are services of which usage came, `billed` the currencies of the charges of each service, `rated` the services of the
    tariff book, `unseen` the services with a table `[reconcile.SERVICE]` of which no record came.
    """

    sources: dict[str, SourceBrought] = field(default_factory=dict)
    same_content: tuple[SameContent, ...] = ()
    used: frozenset[str] = frozenset()
    billed: dict[str, frozenset[str]] = field(default_factory=dict)
    rated: frozenset[str] = frozenset()
    unseen: tuple[str, ...] = ()

    @property
    def services(self) -> frozenset[str]:
        """The services of which any record came."""
        return self.used.union(self.billed)

    def has_records(self, stream: str) -> bool:
        """Whether the log took a record of a stream."""
        return any(brought.stream == stream and brought.accepted for brought in self.sources.values())


def summarise_sources(lake: Lake) -> LogSummary:
    """What the sources of an open lake have brought; nothing is read of the records themselves."""
    return _of_sources(lake, _rows(lake, "sources", {"after": 0}))


def summarise_log(lake: Lake, project: Project, *, most_records: int | None = None) -> LogSummary:
    """The summary of an open lake. Of records it scans only those that are not reconciled yet, and none if they are too many.

    With more than `most_records` of them the summary holds the services of reconciled records alone: for a command that is run
    often, and does not read the records itself.
    """
    after = lake.snapshot_of(lake.consumer_position(CONSUMER))
    sources = _rows(lake, "sources", {"after": after})
    waiting = sum(row["waiting"] for row in sources if row["stream"] in MOVEMENTS)
    used, billed = set[str](), dict[str, set[str]]()
    for row in _services(lake, after, scans=0 < waiting <= (waiting if most_records is None else most_records)):
        if row["service"] is not None:
            if row["is_used"]:
                used.add(row["service"])
            if row["is_billed"]:
                billed.setdefault(row["service"], set()).add(row["currency"])
    summary = _of_sources(lake, sources)
    has_records = summary.has_records("usage") or summary.has_records("charge")
    has_book = summary.has_records("tariff")
    return replace(
        summary,
        used=frozenset(used),
        billed={service: frozenset(currencies) for service, currencies in billed.items()},
        rated=frozenset(row["service"] for row in _rows(lake, "rated_services")) if has_book else frozenset(),
        unseen=tuple(_unseen(lake, project.config.reconcile, used.union(billed))) if has_records else (),
    )


def _of_sources(lake: Lake, rows: list[dict[str, Any]]) -> LogSummary:
    sources = {
        row["source"]: SourceBrought(row["stream"], row["accepted"], tuple(row["newest_paths"]), row["closed"]) for row in rows
    }
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in _rows(lake, "same_content"):
        for first, second in combinations(row["sources"], 2):
            pairs.setdefault((first, second), []).append(row["path"])
    same = (SameContent(first, second, len(paths), paths[0]) for (first, second), paths in pairs.items())
    return LogSummary(sources, tuple(same))


def _services(lake: Lake, after: int, *, scans: bool) -> list[dict[str, Any]]:
    """Services and currencies; the ledger speaks for what is reconciled, the records after that snapshot for themselves."""
    tables = {name: f"lake.events.{name}" for name in MOVEMENTS}
    if not scans:
        tables = {name: f"(SELECT *, snapshot_id FROM {table} WHERE false)" for name, table in tables.items()}
    elif lake.oldest_snapshot <= after:
        # Of the files of the lake, these are only the ones that later commits brought.
        last = lake.snapshot_of(lake.last_position())
        tables = {name: f"ducklake_table_insertions('lake', 'events', '{name}', {after}, {last})" for name in tables}
    return _rows(lake, "services", {"after": after}, **tables)


def _unseen(lake: Lake, tables: Iterable[str], seen: set[str]) -> Iterable[str]:
    """Services without a record: what costs nothing leaves no sum, so the records are asked for the few without one."""
    for service in tables:
        if service != DEFAULT and service not in seen and not _rows(lake, "has_service", {"service": service})[0]["came"]:
            yield service


def _rows(lake: Lake, name: str, values: dict[str, object] | None = None, **identifiers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.connection.execute(statement(name, **identifiers), values or {}).to_arrow_table().to_pylist()
    return found
