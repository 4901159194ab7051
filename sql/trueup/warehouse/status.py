"""How the project stands: what has come in, how far it is reconciled, and what is held back."""

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
    frontier, rows = _frontier(warehouse), []
    for name in [*configured, *(name for name in found if name not in configured)]:
        row = found.get(name, _NOTHING | {"source": name})
        source = configured.get(name)
        stream = source.stream if source else row["stream"]
        rows.append({**row, "stream": stream, "frontier": frontier(name, source, row), "configured": source is not None})
    return rows


_NOTHING: dict[str, Any] = {
    "units": 0, "records": 0, "accepted": 0, "duplicate": 0, "quarantined": 0, "lost_digits": 0, "first_time": None,
    "last_time": None, "last_started_at": None, "closed_through": None, "last_taken_at": None,
}  # fmt: skip


def _frontier(warehouse: Warehouse) -> Callable[[str, SourceConfig | None, dict[str, Any]], datetime | None]:
    """Return a function that computes a source's frontier by the kernel's rule.

    The rules are those of the policy in force; a source that no policy has yet has those of the configuration.
    """
    policy = warehouse.rows("queries/policy_in_force")
    declared = json.loads(policy[0]["content"])["sources"] if policy else {}
    ((clock,),) = [tuple(row.values()) for row in warehouse.rows("queries/clock_in_force")]

    def frontier(name: str, source: SourceConfig | None, row: dict[str, Any]) -> datetime | None:
        rules = declared.get(name) or (_rules_of(source) if source is not None else None)
        marks = SourceMarks(*map(_micros, (row["last_started_at"], row["closed_through"], clock)))
        if rules is None or rules["stream"] not in MOVEMENTS:
            rules = {"lateness_us": None, "idle_after_us": None}
        instant = source_frontier_us(marks, lateness_us=rules["lateness_us"], idle_after_us=rules["idle_after_us"])
        return None if instant is None else _EPOCH + timedelta(microseconds=instant)

    return frontier


def _rules_of(source: SourceConfig) -> dict[str, Any]:
    lateness = source.lateness if source.frontier == "observed" else None
    return {"stream": source.stream, "lateness_us": lateness, "idle_after_us": source.idle_after}


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
