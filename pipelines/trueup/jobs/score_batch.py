"""The scheduled scoring as a Beam pipeline: partitions → read → features → score → one commit.

A partition is a range of buckets at one position. Its events go to the feature window parts of their entities; the features return
to the owner range of their transaction, which scores it. Everything that decides a score is in `trueup.fraud`; this file only
places the steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import apache_beam as beam
import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.frames import from_ipc, to_ipc
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.partitioned import (
    HOME,
    declared_for,
    merge_scores,
    partition_by_entity,
    route_features,
    score_owner_range,
    transactions_by_owner,
)
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.load import decisions_of, label_events, usage_of
from trueup.fraud.scoring.model_registry import ModelInterval, models_of
from trueup.fraud.scoring.rules import rules_of, with_cell_areas
from trueup.fraud.scoring.score_run import EMPTY, PendingScoring, ScoreBatch, ScoreSummary, commit_judged, pending, summary_of
from trueup.jobs.reconcile_batch import run_pipeline
from trueup.log.lake import BucketRange, Lake, TablePart
from trueup.progress import LogFn
from trueup.reconcile.run import ROWS_PER_PARTITION, ROWS_WORTH_A_CORE
from trueup.reconcile.run_partition import bucket_ranges
from trueup.warehouse.statements import statement

_TRANSACTIONS = -1


@dataclass(frozen=True)
class Scoring:
    """The parameters of a run for each worker: project folder, owner ranges, positions (after, upto], first day and models."""

    project: str
    ranges: tuple[BucketRange, ...]
    after: int
    upto: int
    first_day: date
    parts: tuple[ModelInterval, ...]


class Read(beam.DoFn):  # type: ignore[misc]
    """Reads one partition; yields its events by window part and, as a side output, its new transactions by owner range."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: BucketRange) -> Iterator[Any]:
        """Yield the events and new transactions of a bucket range."""
        run, project = self._run, Project.load(self._run.project)
        config, declared = project.config.fraud, declared_for(project.config.fraud)
        with Lake.open(project, read_only=True) as lake:
            usage = usage_of(lake, upto=run.upto, first_day=run.first_day, buckets=element)
            labels = label_events(lake, project, decisions_of(lake, project), upto=run.upto, buckets=element)
        events = with_cell_areas(pl.concat([transactions(usage, config), labels]), rules_of(config))
        for part, rows in partition_by_entity(declared, events, run.ranges, len(run.ranges)):
            yield (part.entity, part.group), to_ipc(rows)
        for owner, rows in transactions_by_owner(declared, events.filter(pl.col("position") > run.after), run.ranges):
            yield beam.pvalue.TaggedOutput("transactions", (owner, (_TRANSACTIONS, to_ipc(rows))))


class ComputeFeatures(beam.DoFn):  # type: ignore[misc]
    """Computes the features of a window part's new transactions and yields them by owner range."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[tuple[int, int], Iterable[bytes]]) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """Yield the features of all new transactions of one window part."""
        (entity, _), batches = element
        own_features = declared_for(Project.load(self._run.project).config.fraud).per_entity[entity]
        rows = pl.concat([frame for batch in batches for frame in from_ipc(batch)])
        features = history(own_features, rows, requested=rows["position"] > self._run.after)
        for owner, own in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
            yield owner, (entity, to_ipc(own))


class ScoreTransactions(beam.DoFn):  # type: ignore[misc]
    """Scores the transactions of an owner range from all their features."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[int, Iterable[tuple[int, bytes]]]) -> Iterator[bytes]:
        """Yield the scores of one owner range."""
        run, project = self._run, Project.load(self._run.project)
        frames: dict[int, list[pl.DataFrame]] = {}
        for entity, data in element[1]:
            frames.setdefault(entity, []).extend(from_ipc(data))
        transactions, parts = pl.concat(frames.pop(_TRANSACTIONS)), list(run.parts)
        models = models_of(project, telecom_features(), parts)
        scores = score_owner_range(project.config.fraud, transactions, frames, parts, models, upto=run.upto)
        yield to_ipc(scores.score, scores.scoring, scores.drift)


class Commit(beam.DoFn):  # type: ignore[misc]
    """Commits the scores of all owner ranges once, in one transaction."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[bool]:
        """Commit all scores of a run; yield whether they were new."""
        scores = merge_scores([ScoreBatch(*from_ipc(data)) for data in element[1]])
        with Lake.open(Project.load(self._run.project)) as lake:
            yield commit_judged(lake, scores, after=self._run.after, upto=self._run.upto)


def _build_pipeline(root: Any, run: Scoring) -> Any:
    """Return the pipeline partitions → read → features → score, with the scores of each owner range as Arrow bytes."""
    read = (
        root
        | "partitions" >> beam.Create(list(run.ranges))
        | "reshuffle" >> beam.Reshuffle()
        | "read" >> beam.ParDo(Read(run)).with_outputs("transactions", main="events")
    )
    features = read.events | "by part" >> beam.GroupByKey() | "features" >> beam.ParDo(ComputeFeatures(run))
    batches = (read.transactions, features) | "flatten" >> beam.Flatten()
    return batches | "by owner" >> beam.GroupByKey() | "score" >> beam.ParDo(ScoreTransactions(run))


def score(
    project: Project, *, runner_options: Sequence[str] = (), partitions: int | None = None, clock: Clock = system_clock,
    log: LogFn | None = None,
) -> ScoreSummary:  # fmt: skip
    """Score the usage records of all positions after the consumer position, and commit the suspicious ones once.

    Raises `ModelError` for an unusable model, `LogError` when another run has moved the consumer position meanwhile, and
    `TrueupError` for any other failure.
    """
    with Lake.open(project, clock=clock) as lake:
        to_score = pending(lake)
        if isinstance(to_score, ScoreSummary):
            return to_score
        after, upto, first_day = to_score.after, to_score.upto, to_score.first_day
        if first_day is None:
            commit_judged(lake, EMPTY, after=after, upto=upto)
            return summary_of(EMPTY, to_score)
        rows = usage_rows(lake, upto, first_day)
        count = partitions or max(-(-rows // ROWS_PER_PARTITION), min(os.cpu_count() or 1, rows // ROWS_WORTH_A_CORE + 1))
        ranges = tuple(bucket_ranges(project.config.lake.buckets, count))
        run = Scoring(str(project.directory), ranges, after, upto, first_day, tuple(to_score.parts))
        if log:
            log(f"scoring positions {after + 1} to {upto} in {len(ranges)} partitions, looking back over {rows} records")
        with run_pipeline(runner_options, "score") as root:
            _ = (
                _build_pipeline(root, run)
                | "for one commit" >> beam.Map(lambda scores: (0, scores))
                | "gather" >> beam.GroupByKey()
                | "commit" >> beam.ParDo(Commit(run))
            )
        return _build_summary(lake, to_score)


def usage_rows(lake: Lake, upto: int, first_day: date) -> int:
    """Return the number of usage records that a run reads."""
    return lake.read("usage", columns=["bucket"], upto=upto, part=TablePart(days=(first_day, None))).height


def _build_summary(lake: Lake, due: PendingScoring) -> ScoreSummary:
    """Return the summary of what a run committed."""
    positions = {"after": due.after, "upto": due.upto}
    names = ("scored_transactions", "scoring_counts")
    score, scoring = (lake.connection.execute(statement(f"queries/fraud/{n}").text, positions).pl() for n in names)
    return summary_of(ScoreBatch(score, scoring, pl.DataFrame()), due)
