"""Runs the audits: queries that return the rows which break a promise of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import names, statement

SHOWN_ROWS = 20


@dataclass(frozen=True)
class AuditResult:
    """What one audit found: `offending` rows in all, the first of them in `rows`. `promise` is what should hold."""

    name: str
    promise: str
    offending: int
    rows: tuple[dict[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether no row breaks the promise."""
        return self.offending == 0


def audit(warehouse: Warehouse, wanted: Sequence[str] = ()) -> list[AuditResult]:
    """The result of each audit, or of those wanted by name, in alphabetical order."""
    return [_one(warehouse, name) for name in names("audits") if not wanted or name in wanted]


def all_held() -> list[AuditResult]:
    """The results of a lake known to pass every audit."""
    return [AuditResult(name, statement(f"audits/{name}").comment, 0, ()) for name in names("audits")]


def _one(warehouse: Warehouse, name: str) -> AuditResult:
    path = f"audits/{name}"
    found = warehouse.ask(path)
    return AuditResult(name, statement(path).comment, found.num_rows, tuple(found.slice(0, SHOWN_ROWS).to_pylist()))
