"""The scheduled reconciliation as a Beam pipeline: partitions → reshuffle → reconcile → one commit.

A partition is a range of buckets at one position; workers read it straight from the lake. Everything that decides a finding is
in `trueup.reconcile`; this file only says what runs where.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import apache_beam as beam
import polars as pl
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.log.lake import Buckets, Lake
from trueup.reconcile.commit import CONSUMER, commit_outcome
from trueup.reconcile.load import frontier_of
from trueup.reconcile.partition import Outcome, joined, reconcile_partition
from trueup.reconcile.policy import ensure_policy

ROWS_PER_PARTITION = 1_500_000
Say = Callable[[str], None]


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


@dataclass(frozen=True)
class Partition:
    """What a worker needs to know: where the project is, which buckets, which positions, which days."""

    project: str
    buckets: Buckets
    after: int
    upto: int
    days: tuple[date | None, date | None] = (None, None)


class Reconcile(beam.DoFn):  # type: ignore[misc]
    """Reconciles one partition; gives its outcome as Arrow bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._records = Metrics.counter("reconcile", "records")
        self._changes = Metrics.counter("reconcile", "changes")

    def process(self, element: Partition) -> Iterator[bytes]:
        """One partition in, one packed outcome out."""
        with Lake.open(Project.load(element.project), read_only=True) as lake:
            outcome = reconcile_partition(
                lake, frontier_of(lake, element.upto), element.buckets, after=element.after, upto=element.upto, days=element.days
            )
        self._records.inc(outcome.records)
        self._changes.inc(outcome.history.height)
        yield packed(outcome)


class Commit(beam.DoFn):  # type: ignore[misc]
    """Commits the outcomes of all partitions once, in one transaction."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self._whole = whole

    def process(self, element: tuple[Partition, Iterable[bytes]]) -> Iterator[dict[str, int]]:
        """(any partition of the run, all packed outcomes) in, counts of what was added out."""
        one, outcomes = element
        whole = joined([unpacked(o) for o in outcomes])
        with Lake.open(Project.load(one.project)) as lake:
            yield commit_outcome(lake, whole, after=one.after, upto=one.upto, whole=self._whole).actions


def packed(outcome: Outcome) -> bytes:
    """An outcome as bytes: what runners pass between workers."""
    parts = []
    for frame in (outcome.history, outcome.ledger, outcome.placement):
        buffer = io.BytesIO()
        frame.with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0))).write_ipc(buffer, compression="zstd")
        parts.append(buffer.getvalue())
    head = b"".join(len(p).to_bytes(8, "little") for p in parts)
    return outcome.records.to_bytes(8, "little") + head + b"".join(parts)


def unpacked(data: bytes) -> Outcome:
    """The outcome that `packed` made bytes of."""
    numbers = [int.from_bytes(data[i : i + 8], "little") for i in range(0, 32, 8)]
    frames, at = [], 32
    for size in numbers[1:]:
        frames.append(pl.read_ipc(io.BytesIO(data[at : at + size])))
        at += size
    history, ledger, placement = frames
    money = pl.col("^.*_micros$").cast(pl.Int128)
    return Outcome(history, ledger.with_columns(money), placement.with_columns(money), numbers[0])


def pipeline(partitions: Sequence[Partition], *, whole: bool) -> Callable[[beam.Pipeline], Any]:
    """The whole job, to be put on a pipeline; every step has its label."""

    def build(root: beam.Pipeline) -> Any:
        outcomes = (
            root
            | "partitions" >> beam.Create(list(partitions))
            | "reshuffle" >> beam.Reshuffle()
            | "reconcile" >> beam.ParDo(Reconcile())
        )
        return (
            outcomes
            | "gather" >> beam.Map(lambda outcome: (0, outcome))
            | "one commit" >> beam.GroupByKey()
            | "with positions" >> beam.Map(lambda kept: (partitions[0], kept[1]))
            | "commit" >> beam.ParDo(Commit(whole))
        )

    return build


def reconcile(
    project: Project,
    *,
    from_day: date | None = None,
    to_day: date | None = None,
    runner_options: Sequence[str] = (),
    partitions: int | None = None,
    clock: Clock = system_clock,
    say: Say | None = None,
) -> ReconcileSummary:
    """Reconciles everything the log holds beyond what was reconciled before, and commits the change of findings once.

    Days (of the project's time zone) limit what is recomputed; then the consumer's position stays where it is.
    Raises `LogBusyError` when another reconciler holds the lake, `TrueupError` for whatever else stops it.
    """
    with Lake.open(project, clock=clock) as lake, lake.reconciling():
        ensure_policy(lake)
        after, upto = lake.consumer_position(CONSUMER), lake.last_position()
        if after == upto:
            return ReconcileSummary(after, upto, 0, 0, 0, 0, 0)
        ranges = bucket_ranges(project, _wanted(lake, partitions))
        if say:
            say(f"reconciling positions {after + 1} to {upto} in {len(ranges)} partitions")
        before = _changes_known(lake)
        parts = [Partition(str(project.directory), r, after, upto, (from_day, to_day)) for r in ranges]
        run(parts, whole=from_day is None and to_day is None, options=runner_options)
        actions = {name: n - before.get(name, 0) for name, n in _changes_known(lake).items()}
        gone = actions.get("retracted", 0) + actions.get("resolved", 0)
        records = lake.connection.execute("SELECT coalesce(sum(accepted), 0) FROM lake.events.control").fetchone()
        return ReconcileSummary(
            after, upto, actions.get("raised", 0), actions.get("revised", 0), gone, int(records[0]) if records else 0, len(ranges)
        )


def run(partitions: Sequence[Partition], *, whole: bool, options: Sequence[str]) -> None:
    """Runs the pipeline to its end; raises `TrueupError` with what a worker said when it failed."""
    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as root:
            pipeline(partitions, whole=whole)(root)
    except RuntimeError as error:
        # Runners wrap what a worker raised into a RuntimeError whose last line is the original.
        if isinstance(error.__cause__, TrueupError):
            raise error.__cause__ from None
        told = str(error).strip().splitlines()
        raise TrueupError(f"the Beam job failed: {told[-1] if told else error!r}", where="reconcile") from error


def derive(
    project: Project, *, how: str = "plain", upto: int | None = None, partitions: int = 1, options: Sequence[str] = ()
) -> pl.DataFrame:
    """The whole history up to a position, derived anew from the input streams alone; commits nothing.

    `how` is `plain` (a function call) or `batch` (the same partitions through Beam).
    """
    with Lake.open(project, read_only=True) as lake:
        end = lake.last_position() if upto is None else upto
        ranges = bucket_ranges(project, partitions)
        if how == "plain":
            frontier = frontier_of(lake, end)
            return joined([reconcile_partition(lake, frontier, r, after=0, upto=end) for r in ranges]).history
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        with beam.Pipeline(options=PipelineOptions(list(options))) as root:
            _ = (
                root
                | "partitions" >> beam.Create([Partition(str(project.directory), r, 0, end) for r in ranges])
                | "reshuffle" >> beam.Reshuffle()
                | "reconcile" >> beam.ParDo(Reconcile())
                | "keep" >> beam.ParDo(_Keep(folder))
            )
        return joined([unpacked(p.read_bytes()) for p in sorted(Path(folder).iterdir())]).history


class _Keep(beam.DoFn):  # type: ignore[misc]
    """Writes each outcome to a file of its content's name, where the caller picks it up."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def process(self, element: bytes) -> None:
        """One packed outcome in, nothing out."""
        import hashlib

        Path(self._folder, hashlib.sha256(element).hexdigest()).write_bytes(element)


def bucket_ranges(project: Project, count: int) -> list[Buckets]:
    """The project's buckets divided into `count` ranges of nearly equal width."""
    buckets = project.config.lake.buckets
    n = max(1, min(count, buckets))
    edges = [buckets * i // n for i in range(n + 1)]
    return [Buckets(low, high - 1) for low, high in itertools.pairwise(edges)]


def _wanted(lake: Lake, partitions: int | None) -> int:
    """As many partitions as keep each within memory, and at least as many as there are cores where there is work for them."""
    if partitions is not None:
        return partitions
    found = lake.connection.execute("SELECT coalesce(sum(accepted), 0) FROM lake.events.control").fetchone()
    rows = int(found[0]) if found else 0
    return max(-(-rows // ROWS_PER_PARTITION), min(os.cpu_count() or 1, rows // 10_000 + 1))


def _changes_known(lake: Lake) -> dict[str, int]:
    rows = lake.connection.execute("SELECT action, count(*) FROM lake.events.finding GROUP BY action").fetchall()
    return {str(action): int(count) for action, count in rows}
