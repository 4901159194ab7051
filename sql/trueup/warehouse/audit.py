"""Run the audits: queries that return the rows which break a promise of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse
from trueup.warehouse.shared_steps import SharedSteps
from trueup.warehouse.statements import names, statement

SHOWN_ROWS = 20


@dataclass(frozen=True)
class AuditResult:
    """The result of one audit: the number of `offending` rows, the first of them in `rows`, and the `promise` they break."""

    name: str
    promise: str
    offending: int
    rows: tuple[dict[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Return whether no row breaks the promise."""
        return self.offending == 0


def audit(warehouse: Warehouse, requested: Sequence[str] = ()) -> list[AuditResult]:
    """Run all audits, or those requested by name, in alphabetical order."""
    install_views.create_views_of_records(warehouse.lake.connection)
    steps = SharedSteps(warehouse.lake.connection, with_views=True)
    try:
        return [_run_audit(warehouse, name, steps) for name in names("audits") if not requested or name in requested]
    finally:
        steps.drop()


def all_passed() -> list[AuditResult]:
    """Return the results of a lake that is known to pass every audit."""
    return [AuditResult(name, statement(f"audits/{name}").comment, 0, ()) for name in names("audits")]


def _run_audit(warehouse: Warehouse, name: str, steps: SharedSteps) -> AuditResult:
    query = statement(f"audits/{name}")
    offending = warehouse.lake.connection.execute(steps.read(query.text)).to_arrow_table()
    return AuditResult(name, query.comment, offending.num_rows, tuple(offending.slice(0, SHOWN_ROWS).to_pylist()))
