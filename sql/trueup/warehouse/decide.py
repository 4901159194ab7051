"""Records what a person decided on a finding."""

from __future__ import annotations

from typing import Literal, get_args

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.log.lake import Lake, Transaction
from trueup.warehouse import views
from trueup.warehouse.explain import subject_id_of
from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import statement

Decision = Literal["confirmed", "recovered", "dismissed", "reopened"]


def decide(project: Project, told: str, decision: str, *, note: str = "", decided_by: str = "", clock: Clock = system_clock) -> str:
    """Appends a decision on what `told` is the id of, or a unique beginning of it, and returns the whole id.

    That may be a finding, a fraud case or a suspicious transaction. The finding need not stand: a decision stays attached to
    it and counts again when it is raised again. Raises `TrueupError` for a decision or an id that is not known.
    """
    if decision not in get_args(Decision):
        raise TrueupError(f"{decision!r} is no decision", todo=f"write one of {', '.join(get_args(Decision))}")

    def write(transaction: Transaction) -> str:
        finding_id = subject_id_of(Warehouse(lake, None), told)
        _append(transaction, finding_id, decision, note, decided_by, clock)
        return finding_id

    with Lake.open(project, clock=clock) as lake:
        views.look(lake.connection, project)
        # Before the transaction begins, which may write to the lake alone.
        views.create(lake.connection, comments=False)
        return lake.commit(write)


def _append(transaction: Transaction, finding_id: str, decision: str, note: str, decided_by: str, clock: Clock) -> None:
    values = {"finding_id": finding_id, "decision": decision, "note": note, "decided_by": decided_by, "decided_at": clock()}
    transaction.connection.execute(statement("queries/append_decision").text, values)
