"""Record the decision of a person on a finding."""

from __future__ import annotations

from typing import Literal, get_args

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.log.lake import Lake, Transaction
from trueup.warehouse import install_views
from trueup.warehouse.explain import subject_id_of
from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import statement

Decision = Literal["confirmed", "recovered", "dismissed", "reopened"]


def decide(
    project: Project, id_prefix: str, decision: str, *, note: str = "", decided_by: str = "", clock: Clock = system_clock
) -> str:
    """Append a decision on a finding, fraud case or suspicious transaction, and return its full id.

    `id_prefix` is the id or a unique beginning of it. The finding may be resolved or retracted: the decision stays attached and
    counts again when the finding is raised again. Raises `TrueupError` for an unknown decision or id.
    """
    if decision not in get_args(Decision):
        raise TrueupError(f"unknown decision {decision!r}", todo=f"write one of {', '.join(get_args(Decision))}")

    def write(transaction: Transaction) -> str:
        finding_id = subject_id_of(Warehouse(lake, None), id_prefix)
        _append(transaction, finding_id, decision, note, decided_by, clock)
        return finding_id

    with Lake.open(project, clock=clock) as lake:
        install_views.set_variables(lake.connection, project)
        # Before the transaction begins: within it only the lake may be written.
        install_views.create_views(lake.connection, comments=False)
        return lake.commit(write)


def _append(transaction: Transaction, finding_id: str, decision: str, note: str, decided_by: str, clock: Clock) -> None:
    values = {"finding_id": finding_id, "decision": decision, "note": note, "decided_by": decided_by, "decided_at": clock()}
    transaction.connection.execute(statement("queries/findings/append_decision").text, values)
