"""The scheduled reconciliation as a Beam pipeline: partitions → reshuffle → reconcile → one commit.

A partition is a range of buckets at one position; workers read it from the lake themselves. Everything that decides a finding is
in `trueup.reconcile`; this file only places the steps.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apache_beam as beam
import duckdb
import polars as pl
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.jobs.loopback import grpc_servers_on_loopback
from trueup.log.lake import ALL_DAYS, BucketRange, Days, Lake
from trueup.policies.declared import ensure_policy
from trueup.progress import LogFn
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.results.outcome import merge_outcomes
from trueup.reconcile.results.outcome_codec import decode, encode
from trueup.reconcile.run import ReconcileSummary, changes_known, partitions_needed, summary_of
from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition


@dataclass(frozen=True)
class Partition:
    """The work of one worker: project folder, buckets, the frontier up to a position, positions (after, upto] and days."""

    project: str
    buckets: BucketRange
    frontier: Frontier
    after: int
    upto: int
    days: Days = ALL_DAYS


class Reconcile(beam.DoFn):  # type: ignore[misc]
    """Reconciles one partition and yields its outcome as Arrow bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._records = Metrics.counter("reconcile", "records")
        self._changes = Metrics.counter("reconcile", "changes")

    def process(self, element: Partition) -> Iterator[bytes]:
        """Yield the encoded outcome of one partition."""
        with Lake.open(Project.load(element.project), read_only=True) as lake:
            outcome = reconcile_partition(
                lake, element.frontier, element.buckets, after=element.after, upto=element.upto, days=element.days
            )
        self._records.inc(outcome.records)
        self._changes.inc(outcome.history.height)
        yield encode(outcome)


class Commit(beam.DoFn):  # type: ignore[misc]
    """Commits the outcomes of all partitions once, in one transaction."""

    def __init__(self, partition: Partition) -> None:
        super().__init__()
        self._partition = partition

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[dict[str, int]]:
        """Commit all encoded outcomes of a run; yield the number of findings per action."""
        outcome = merge_outcomes([decode(o) for o in element[1]])
        with Lake.open(Project.load(self._partition.project)) as lake:
            part = self._partition
            yield commit_outcome(lake, outcome, after=part.after, upto=part.upto, all_days=part.days == ALL_DAYS).actions


class WriteOutcome(beam.DoFn):  # type: ignore[misc]
    """Writes each outcome to a folder instead of committing it, for a recomputation that changes nothing."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def process(self, element: bytes) -> Iterator[str]:
        """Write one encoded outcome; yield the name of its file."""
        name = hashlib.sha256(element).hexdigest()
        Path(self._folder, name).write_bytes(element)
        yield name


def outcomes(root: Any, partitions: Sequence[Partition]) -> Any:
    """Return the pipeline partitions → reshuffle → reconcile, with one encoded outcome per partition."""
    return (
        root
        | "partitions" >> beam.Create(list(partitions))
        | "reshuffle" >> beam.Reshuffle()
        | "reconcile" >> beam.ParDo(Reconcile())
    )


def reconcile(
    project: Project,
    *,
    days: Days = ALL_DAYS,
    runner_options: Sequence[str] = (),
    partitions: int | None = None,
    clock: Clock = system_clock,
    log: LogFn | None = None,
) -> ReconcileSummary:
    """Reconcile all positions after the consumer position, and commit the changed findings once.

    `days` (of the project's time zone) limit what is recomputed; then the consumer position stays where it is.
    Raises `LogBusyError` when another reconciler holds the lake, and `TrueupError` for any other failure.
    """
    with Lake.open(project, clock=clock) as lake, lake.reconciler_lock():
        ensure_policy(lake)
        after, upto = lake.consumer_position(CONSUMER), lake.last_position()
        if after == upto:
            return ReconcileSummary(after, upto, 0, 0, 0, 0, 0)
        frontier = frontier_of(lake, upto)
        parts = [
            Partition(str(project.directory), r, frontier, after, upto, days)
            for r in bucket_ranges(project.config.lake.buckets, partitions or partitions_needed(lake))
        ]
        if log:
            log(f"reconciling positions {after + 1} to {upto} in {len(parts)} partitions")
        before = changes_known(lake)
        with run_pipeline(runner_options, "reconcile") as root:
            _ = (
                outcomes(root, parts)
                | "for one commit" >> beam.Map(lambda outcome: (0, outcome))
                | "gather" >> beam.GroupByKey()
                | "commit" >> beam.ParDo(Commit(parts[0]))
            )
        return summary_of(lake, before, after=after, upto=upto, partitions=len(parts))


def derive(
    project: Project, *, how: str = "plain", upto: int | None = None, partitions: int = 1, runner_options: Sequence[str] = ()
) -> pl.DataFrame:
    """Return the complete finding history (`HISTORY`) up to a position, recomputed from the input streams; commit nothing.

    `how` is `plain` (a function call) or `batch` (the same partitions through Beam).
    """
    with Lake.open(project, read_only=True) as lake:
        end = lake.last_position() if upto is None else upto
        frontier, ranges = frontier_of(lake, end), bucket_ranges(project.config.lake.buckets, partitions)
        if how == "plain":
            return merge_outcomes([reconcile_partition(lake, frontier, r, after=0, upto=end) for r in ranges]).history
    parts = [Partition(str(project.directory), r, frontier, 0, end) for r in ranges]
    with TemporaryDirectory(prefix="trueup-batch-") as folder:
        with run_pipeline(runner_options, "reconcile") as root:
            _ = outcomes(root, parts) | "write" >> beam.ParDo(WriteOutcome(folder))
        return merge_outcomes([decode(p.read_bytes()) for p in sorted(Path(folder).iterdir())]).history


@contextmanager
def run_pipeline(options: Sequence[str], where: str) -> Iterator[Any]:
    """Yield a pipeline that runs when the context ends; raise `TrueupError` with the message of a failed worker."""
    try:
        with _defer_stderr(), grpc_servers_on_loopback(), beam.Pipeline(options=PipelineOptions(list(options))) as root:
            yield root
    except (RuntimeError, TrueupError, duckdb.Error) as error:
        raise _translate_error(error, where) from error


@contextmanager
def _defer_stderr() -> Iterator[None]:
    """Defer stderr until a pipeline ends: Beam prints the traceback of a worker's error, which is also raised.

    Other output follows at the end; after an error only if the variable TRUEUP_DEBUG is set.
    """
    with io.StringIO() as output:
        try:
            with redirect_stderr(output):
                yield
        except BaseException:
            # Every exception that ended the pipeline, including an interrupt, is raised again; only its output is filtered here.
            if os.environ.get("TRUEUP_DEBUG"):
                sys.stderr.write(output.getvalue())
            raise
        sys.stderr.write(output.getvalue())


def _translate_error(error: Exception, where: str) -> TrueupError:
    """Return the error that a worker raised; runners wrap it, or pass on only a text that ends with its message."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TrueupError):
            return cause
        cause = cause.__cause__ or cause.__context__
    lines = str(error).strip().splitlines()
    return TrueupError(f"the Beam job failed: {lines[-1] if lines else repr(error)}", where=where)
