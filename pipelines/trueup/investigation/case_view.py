"""One case or a queue of cases, as values that the terminal, the workbench and evidence show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueup.errors import TrueupError
from trueup.reconcile.domain.decision_kinds import DECIDED_STATUSES
from trueup.warehouse.explain import subject_id_of
from trueup.warehouse.query import Warehouse

TYPES = ("root_cause", "fraud")
STATUSES = (*DECIDED_STATUSES, "merged", "closed")
"""The statuses of cases: those that decisions give, and those of a merge and of findings that later records closed."""


@dataclass(frozen=True)
class Filter:
    """The filter of a queue. Without a status and without `all`, the queue has the cases that are open and not snoozed."""

    type: str | None = None
    status: str | None = None
    owner: str | None = None
    all: bool = False
    most: int = 20


@dataclass(frozen=True)
class CaseView:
    """A case with the largest of its findings or transactions, and its history."""

    case: dict[str, Any]
    title: str
    members: list[dict[str, Any]]
    history: list[dict[str, Any]]


def queue(warehouse: Warehouse, wanted: Filter, now: datetime) -> list[dict[str, Any]]:
    """Return the cases of a queue, each with its `title`, in the order of their rank."""
    if wanted.type is not None and wanted.type not in TYPES:
        raise TrueupError(f"unknown type {wanted.type!r}", where="--type", todo=f"write one of {', '.join(TYPES)}")
    if wanted.status is not None and wanted.status not in STATUSES:
        raise TrueupError(f"unknown status {wanted.status!r}", where="--status", todo=f"write one of {', '.join(STATUSES)}")
    values = {
        "type": wanted.type, "status": wanted.status, "owner": wanted.owner, "all": wanted.all, "most": wanted.most, "now": now,
    }  # fmt: skip
    return [{"title": title_of(row), **row} for row in warehouse.rows("queries/cases/cases", values)]


def view_case(warehouse: Warehouse, id_prefix: str, *, most: int = 20) -> CaseView:
    """Return one case by its id or the beginning of it; raise `TrueupError` where there is none."""
    case_id = subject_id_of(warehouse, id_prefix)
    found = warehouse.rows("queries/cases/case", {"case_id": case_id})
    if not found:
        raise TrueupError(f"{case_id} is not a case", todo="take an id from `trueup cases`; `trueup explain` shows a finding")
    (case,) = found
    path = "largest_members" if case["type"] == "root_cause" else "largest_transactions"
    members = warehouse.rows(f"queries/cases/{path}", {"case_id": case_id, "most": most})
    return CaseView(case, title_of(case), members, warehouse.rows("queries/cases/history", {"case_id": case_id}))


def title_of(case: dict[str, Any]) -> str:
    """Return the title of a case: its kind, and the values that all its members share.

    >>> title_of({"kind": "unbilled", "pattern": '[["side", "leakage"], ["node", "MSC07"], ["destination_4", "+4930"]]'})
    'unbilled: node MSC07, destination +4930'
    """
    pairs = json.loads(case["pattern"] or "[]")
    # Findings of most kinds have only one side.
    shown = [(name, value) for name, value in pairs if name != "side" or (case["kind"] == "misrated" and value == "overcharge")]
    shared = [f"{_name_dimension(name)} {value}" for name, value in shown]
    kind = str(case["kind"]).replace("_", " ")
    return f"{kind}: {', '.join(shared)}" if shared else f"{kind}: no dimension in common"


def _name_dimension(name: str) -> str:
    if name.startswith("destination_"):
        return "destination"
    return name.removeprefix("attribute:").replace("_", " ")
