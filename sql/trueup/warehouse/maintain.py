"""Keeps the lake quick: merges the small files that many commits leave. No answer changes, as of no position."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.log.lake import Lake, Transaction
from trueup.warehouse.statements import statement


@dataclass(frozen=True)
class Maintained:
    """`merged` files were merged into `made`; `removed` are files of earlier merges that nobody reads any more."""

    merged: int
    made: int
    removed: int


def maintain(project: Project, *, keep: timedelta = timedelta(days=1), clock: Clock = system_clock) -> Maintained:
    """Merges adjacent small files of every table under the writer lock, each step a transaction of its own.

    A merged-away file is kept for `keep`, so that a question that began before the merge is answered to its end. Snapshots
    are kept: reads since and as of old positions go on. Raises `LogError` or `LogBusyError`.
    """
    with Lake.open(project, clock=clock) as lake:
        merged = lake.commit(_merge)
        removed = lake.commit(lambda transaction: _remove(transaction, keep, clock))
    return Maintained(sum(row[2] for row in merged), sum(row[3] for row in merged), removed)


def _merge(transaction: Transaction) -> list[tuple[str, str, int, int]]:
    """(schema, table, files merged, files made) of each table that had something to merge."""
    found: list[tuple[str, str, int, int]] = transaction.connection.execute(statement("queries/merge").text).fetchall()
    return found


def _remove(transaction: Transaction, keep: timedelta, clock: Clock) -> int:
    values = {"before": clock() - keep}
    return len(transaction.connection.execute(statement("queries/remove_merged").text, values).fetchall())
