"""Merge the small files that many commits leave, so that queries stay fast; no answer changes, as of any position."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.log.lake import Lake, Transaction
from trueup.warehouse.statements import statement


@dataclass(frozen=True)
class Maintained:
    """Counts of files: `merged` files became `made` files; `removed` files were left by earlier merges and are no longer read."""

    merged: int
    made: int
    removed: int


def maintain(project: Project, *, keep: timedelta = timedelta(days=1), clock: Clock = system_clock) -> Maintained:
    """Merge adjacent small files of every table under the writer lock, each step in its own transaction.

    A merged-away file remains for `keep`, so that a query that began before the merge can finish. Snapshots remain: reads from
    and as of old positions still work. Raises `LogError` or `LogBusyError`.
    """
    with Lake.open(project, clock=clock) as lake:
        merged = lake.commit(_merge_files)
        removed = lake.commit(lambda transaction: _remove_files(transaction, keep, clock))
    return Maintained(sum(row[2] for row in merged), sum(row[3] for row in merged), removed)


def _merge_files(transaction: Transaction) -> list[tuple[str, str, int, int]]:
    """Return (schema, table, files merged, files made) for each table that had files to merge."""
    merged: list[tuple[str, str, int, int]] = transaction.connection.execute(statement("queries/lake/merge_files").text).fetchall()
    return merged


def _remove_files(transaction: Transaction, keep: timedelta, clock: Clock) -> int:
    values = {"before": clock() - keep}
    return len(transaction.connection.execute(statement("queries/lake/remove_merged_files").text, values).fetchall())
