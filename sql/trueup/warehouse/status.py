"""Status of the project: records ingested, how far they are reconciled, and ticks that were superseded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from trueup.config import SourceConfig
from trueup.events.streams import MOVEMENTS
from trueup.reconcile.domain.source_frontier import SourceMarks, source_frontier_us
from trueup.warehouse.query import Warehouse

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Status:
    """Positions, sources, money and findings at one point.

    `lag` is the number of positions by which the log is ahead of the findings. `waiting_since` is when the first of these positions
    was committed, None where there is none. `changes` counts all changes of findings. Each source has the columns of
    `queries/status/source_progress` and its `frontier`: the time up to which it is complete, None where that is unknown.
    `superseded_ticks` are the ticks of a wrong clock (`queries/status/superseded_ticks`). Each has the number of records that were
    refused for their time while the tick was in force.
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
        """Return the number of positions that are not reconciled yet."""
        return self.position - self.reconciled_position


def status(warehouse: Warehouse) -> Status:
    """Return the status of the project, including configured sources without any record."""
    position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
    reconciled = min(position, warehouse.lake.consumer_position("reconcile"))
    (progress,) = warehouse.rows("queries/status/reconciliation_progress", {"reconciled": reconciled, "position": position})
    return Status(
        position=position,
        reconciled_position=reconciled,
        waiting_since=progress["waiting_since"],
        changes=progress["changes"],
        sources=_list_sources(warehouse),
        money=warehouse.rows("queries/status/conservation_totals"),
        findings=warehouse.rows("queries/status/finding_counts"),
        superseded_ticks=warehouse.rows("queries/status/superseded_ticks"),
    )


def _list_sources(warehouse: Warehouse) -> list[dict[str, Any]]:
    configured = {source.name: source for source in warehouse.lake.project.config.source}
    delivered = {row["source"]: row for row in warehouse.rows("queries/status/source_progress")}
    frontier, rows = _build_frontier_function(warehouse), []
    for name in [*configured, *(name for name in delivered if name not in configured)]:
        row = delivered.get(name, _NO_RECORDS | {"source": name})
        source = configured.get(name)
        stream = source.stream if source else row["stream"]
        rows.append({**row, "stream": stream, "frontier": frontier(name, source, row), "configured": source is not None})
    return rows


_NO_RECORDS: dict[str, Any] = {
    "units": 0, "records": 0, "accepted": 0, "duplicate": 0, "filtered": 0, "quarantined": 0, "lost_digits": 0, "first_time": None,
    "last_time": None, "last_started_at": None, "closed_through": None, "last_taken_at": None,
}  # fmt: skip


def _build_frontier_function(warehouse: Warehouse) -> Callable[[str, SourceConfig | None, dict[str, Any]], datetime | None]:
    """Return a function that computes a source's frontier by the kernel's rule.

    The rules come from the policy in force. For a source that no policy has yet, the rules come from the configuration.
    """
    policy = warehouse.rows("queries/status/policy_in_force")
    declared = json.loads(policy[0]["content"])["sources"] if policy else {}
    ((clock,),) = [tuple(row.values()) for row in warehouse.rows("queries/status/clock_in_force")]

    def frontier(name: str, source: SourceConfig | None, row: dict[str, Any]) -> datetime | None:
        rules = declared.get(name) or (_build_source_rules(source) if source is not None else None)
        marks = SourceMarks(*map(_convert_to_micros, (row["last_started_at"], row["closed_through"], clock)))
        if rules is None or rules["stream"] not in MOVEMENTS:
            rules = {"lateness_us": None, "idle_after_us": None}
        instant = source_frontier_us(marks, lateness_us=rules["lateness_us"], idle_after_us=rules["idle_after_us"])
        return None if instant is None else _EPOCH + timedelta(microseconds=instant)

    return frontier


def _build_source_rules(source: SourceConfig) -> dict[str, Any]:
    lateness = source.lateness if source.frontier == "observed" else None
    return {"stream": source.stream, "lateness_us": lateness, "idle_after_us": source.idle_after}


def _convert_to_micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
