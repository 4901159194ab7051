"""What a reconciliation did, and whether there is anything to do: asked before any engine is imported."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.reconcile.commit import CONSUMER
from trueup.reconcile.policy import ensure_policy


@dataclass(frozen=True)
class ReconcileSummary:
    """What a run did: the positions it went through, changes of findings, records evaluated and partitions."""

    from_position: int
    to_position: int
    raised: int
    revised: int
    retracted: int
    records: int
    partitions: int


def nothing_to_reconcile(project: Project, *, clock: Clock = system_clock) -> ReconcileSummary | None:
    """The summary of a run that has nothing to do, None where the log holds positions that are not reconciled.

    Declares the project's policy first, as each run does. Raises `LogBusyError` when another reconciler holds the lake.
    """
    with Lake.open(project, clock=clock) as lake, lake.reconciling():
        ensure_policy(lake)
        after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    return ReconcileSummary(after, upto, 0, 0, 0, 0, 0) if after == upto else None
