"""Reconcile up to the newest position without an engine, if there is little enough work for one process, or none."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import duckdb
import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.events.streams import MOVEMENTS
from trueup.log.lake import ALL_DAYS, Days, Lake
from trueup.policies.declared import ensure_policy
from trueup.progress import LogFn
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition

ROWS_PER_PARTITION = 1_500_000
ROWS_WORTH_A_CORE = 200_000


@dataclass(frozen=True)
class ReconcileSummary:
    """The summary of a run: its positions, changes of findings, records evaluated and partitions."""

    from_position: int
    to_position: int
    raised: int
    revised: int
    retracted: int
    records: int
    partitions: int


def reconcile_little(
    project: Project, *, days: Days = ALL_DAYS, clock: Clock = system_clock, log: LogFn | None = None
) -> ReconcileSummary | None:
    """Reconcile the positions after the last run if one partition is enough; otherwise return None.

    The steps are those of `trueup.jobs.reconcile_batch.reconcile`, without an engine. `days` (of the project's time zone)
    limit what is evaluated; then the consumer position stays where it is. Raises `LogBusyError` when another reconciler holds
    the lake.
    """
    with Lake.open(project, clock=clock) as lake, lake.reconciler_lock():
        ensure_policy(lake)
        after, upto = lake.consumer_position(CONSUMER), lake.last_position()
        if after == upto:
            return ReconcileSummary(after, upto, 0, 0, 0, 0, 0)
        if partitions_needed(lake) > 1:
            return None
        if log:
            log(f"reconciling positions {after + 1} to {upto}")
        before = changes_known(lake)
        (all_buckets,) = bucket_ranges(project.config.lake.buckets, 1)
        try:
            outcome = reconcile_partition(lake, frontier_of(lake, upto), all_buckets, after=after, upto=upto, days=days)
        except duckdb.Error as error:
            raise TrueupError(f"the reconciliation failed: {str(error).splitlines()[0]}", where=str(project.directory)) from error
        commit_outcome(lake, outcome, after=after, upto=upto, all_days=days == ALL_DAYS)
        return summary_of(lake, before, after=after, upto=upto, partitions=1)


def partitions_needed(lake: Lake) -> int:
    """Return how many partitions keep each within memory, and use all cores if there is enough work."""
    rows = records_between(lake, 0, lake.last_position())
    return max(-(-rows // ROWS_PER_PARTITION), min(os.cpu_count() or 1, rows // ROWS_WORTH_A_CORE + 1))


def summary_of(lake: Lake, before: dict[str, int], *, after: int, upto: int, partitions: int) -> ReconcileSummary:
    """Return the summary of a run, by the changes known `before` it."""
    added = Counter(changes_known(lake))
    added.subtract(before)
    ended = added["retracted"] + added["resolved"]
    records = records_between(lake, after, upto)
    return ReconcileSummary(after, upto, added["raised"], added["revised"], ended, records, partitions)


def records_between(lake: Lake, after: int, upto: int) -> int:
    """Return the number of records in positions (after, upto]; states do not count."""
    control = lake.read("control", columns=["stream", "accepted"], after=after, upto=upto)
    return int(control.filter(pl.col("stream").is_in(MOVEMENTS))["accepted"].sum())


def changes_known(lake: Lake) -> dict[str, int]:
    """Return how many changes of findings of each action the lake has."""
    rows = lake.connection.execute("SELECT action, count(*) FROM lake.events.finding GROUP BY action").fetchall()
    return {str(action): int(count) for action, count in rows}
