"""How the project stands: what has come in, how far it is reconciled, and what is held back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from trueup.config import SourceConfig
from trueup.warehouse.query import Warehouse


@dataclass(frozen=True)
class Status:
    """Positions, sources, money and findings at one point.

    `lag` is how many positions the log is ahead of the findings, and `waiting_since` when the first of them was committed; None
    where there is none. `changes` counts what ever happened to a finding. Each source has what `queries/sources` says of it and its
    `frontier`: the time up to which it is complete, None where it has not told. `superseded_ticks` are those of a wrong clock, each
    with the records refused for their time meanwhile (`queries/superseded_ticks`).
    """

    position: int
    reconciled_position: int
    waiting_since: datetime | None
    changes: int
    sources: list[dict[str, Any]]
    money: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    superseded_ticks: list[dict[str, Any]]

    @property
    def lag(self) -> int:
        """Positions the findings do not know yet."""
        return self.position - self.reconciled_position


def status(warehouse: Warehouse) -> Status:
    """The state of the project, configured sources that have brought nothing yet included."""
    position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
    reconciled = min(position, warehouse.lake.consumer_position("reconcile"))
    (told,) = warehouse.rows("queries/progress", {"reconciled": reconciled, "position": position})
    return Status(
        position=position,
        reconciled_position=reconciled,
        waiting_since=told["waiting_since"],
        changes=told["changes"],
        sources=_sources(warehouse),
        money=warehouse.rows("queries/money"),
        findings=warehouse.rows("queries/standing"),
        superseded_ticks=warehouse.rows("queries/superseded_ticks"),
    )


def _sources(warehouse: Warehouse) -> list[dict[str, Any]]:
    configured = {source.name: source for source in warehouse.lake.project.config.source}
    found = {row["source"]: row for row in warehouse.rows("queries/sources")}
    rows = []
    for name in [*configured, *(name for name in found if name not in configured)]:
        row = found.get(name, _NOTHING | {"source": name})
        source = configured.get(name)
        stream = source.stream if source else row["stream"]
        rows.append({**row, "stream": stream, "frontier": _frontier(source, row), "configured": source is not None})
    return rows


_NOTHING: dict[str, Any] = {
    "units": 0, "records": 0, "accepted": 0, "duplicate": 0, "quarantined": 0, "lost_digits": 0, "first_time": None,
    "last_time": None, "last_started_at": None, "closed_through": None, "last_taken_at": None,
}  # fmt: skip


def _frontier(source: SourceConfig | None, row: dict[str, Any]) -> datetime | None:
    """What was observed less the lateness allowed, or what was declared: whichever is later."""
    told: list[datetime] = [] if row["closed_through"] is None else [row["closed_through"]]
    if row["last_started_at"] is not None and source is not None and source.frontier == "observed":
        told.append(row["last_started_at"] - timedelta(microseconds=source.lateness))
    return max(told, default=None)
