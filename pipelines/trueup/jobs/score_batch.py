"""The scheduled scoring as a Beam pipeline: partitions → read → windows → judge → one commit.

A partition is a range of buckets at one position. Its events go to the parts of the windows they belong to, and what those tell of
them comes home again, to be judged. Everything that decides a score is in `trueup.fraud`; this file only says what runs where.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from trueup.fraud.scoring.rules import with_cell_areas
from trueup.fraud.scoring.score_run import EMPTY, ScoreBatch, ScoreSummary, commit_judged, pending, summary_of
from trueup.jobs.reconcile_batch import running
from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.run import ROWS_PER_PARTITION, ROWS_WORTH_A_CORE
from trueup.reconcile.run_partition import bucket_ranges
from trueup.warehouse.statements import statement

_FACTS = -1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """What every worker needs to know of a run: where the project is, how it is divided, which positions, which models."""

    project: str
    ranges: tuple[BucketRange, ...]
    after: int
    upto: int
    first_day: date
    parts: tuple[ModelInterval, ...]


class Read(beam.DoFn):  # type: ignore[misc]
    """Reads one partition; gives its events by part, and on the side its new transactions by home."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: BucketRange) -> Iterator[Any]:
        """A range of buckets in."""
        run, project = self._run, Project.load(self._run.project)
        config, declared = project.config.fraud, declared_for(project.config.fraud)
        with Lake.open(project, read_only=True) as lake:
            usage = usage_of(lake, upto=run.upto, first_day=run.first_day, buckets=element)
            labels = label_events(lake, project, decisions_of(lake, project), upto=run.upto, buckets=element)
        events = with_cell_areas(pl.concat([transactions(usage, config), labels]), config.rule)
        for part, rows in partition_by_entity(declared, events, run.ranges, len(run.ranges)):
            yield (part.entity, part.group), to_ipc(rows)
        for home, rows in transactions_by_owner(declared, events.filter(pl.col("position") > run.after), run.ranges):
            yield beam.pvalue.TaggedOutput("facts", (home, (_FACTS, to_ipc(rows))))


class Windows(beam.DoFn):  # type: ignore[misc]
    """Tells the features of a part's new transactions, for each home."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[tuple[int, int], Iterable[bytes]]) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """All events of a part in."""
        (entity, _), pieces = element
        alone = declared_for(Project.load(self._run.project).config.fraud).apart[entity]
        rows = pl.concat([frame for piece in pieces for frame in from_ipc(piece)])
        features = history(alone, rows, wanted=rows["position"] > self._run.after)
        for home, mine in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
            yield home, (entity, to_ipc(mine))


class Judge(beam.DoFn):  # type: ignore[misc]
    """Judges a home's transactions out of all that came home of them."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[int, Iterable[tuple[int, bytes]]]) -> Iterator[bytes]:
        """A home's facts and features in, its judgement out."""
        run, project = self._run, Project.load(self._run.project)
        told: dict[int, list[pl.DataFrame]] = {}
        for entity, data in element[1]:
            told.setdefault(entity, []).extend(from_ipc(data))
        facts, parts = pl.concat(told.pop(_FACTS)), list(run.parts)
        models = models_of(project, telecom_features(), parts)
        judged = score_owner_range(project.config.fraud, facts, told, parts, models, upto=run.upto)
        yield to_ipc(judged.score, judged.scoring, judged.drift)


class Commit(beam.DoFn):  # type: ignore[misc]
    """Commits the judgements of all homes once, in one transaction."""

    def __init__(self, run: Scoring) -> None:
        super().__init__()
        self._run = run

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[bool]:
        """All judgements of a run in; whether they were not there yet out."""
        judged = merge_scores([ScoreBatch(*from_ipc(data)) for data in element[1]])
        with Lake.open(Project.load(self._run.project)) as lake:
            yield commit_judged(lake, judged, after=self._run.after, upto=self._run.upto)


def _judged(root: Any, run: Scoring) -> Any:
    """Partitions → read → windows → judge: judgements as bytes, one for each home."""
    read = (
        root
        | "partitions" >> beam.Create(list(run.ranges))
        | "reshuffle" >> beam.Reshuffle()
        | "read" >> beam.ParDo(Read(run)).with_outputs("facts", main="pieces")
    )
    features = read.pieces | "by part" >> beam.GroupByKey() | "windows" >> beam.ParDo(Windows(run))
    return (
        (read.facts, features) | "come home" >> beam.Flatten() | "by home" >> beam.GroupByKey() | "judge" >> beam.ParDo(Judge(run))
    )


def score(
    project: Project, *, runner_options: Sequence[str] = (), partitions: int | None = None, clock: Clock = system_clock,
    say: Say | None = None,
) -> ScoreSummary:  # fmt: skip
    """Scores the usage records the log holds beyond what was scored before, and commits what is suspicious once.

    Raises `ModelError` for a model that cannot be used, `LogError` when another run has moved the position meanwhile, and
    `TrueupError` for whatever else stops it.
    """
    with Lake.open(project, clock=clock) as lake:
        wanted = pending(lake)
        if isinstance(wanted, ScoreSummary):
            return wanted
        after, upto, first_day = wanted.after, wanted.upto, wanted.first_day
        if first_day is None:
            commit_judged(lake, EMPTY, after=after, upto=upto)
            return summary_of(EMPTY, wanted.parts, after=after, upto=upto)
        rows = usage_rows(lake, upto, first_day)
        count = partitions or max(-(-rows // ROWS_PER_PARTITION), min(os.cpu_count() or 1, rows // ROWS_WORTH_A_CORE + 1))
        ranges = tuple(bucket_ranges(project.config.lake.buckets, count))
        run = Scoring(str(project.directory), ranges, after, upto, first_day, tuple(wanted.parts))
        if say:
            say(f"scoring positions {after + 1} to {upto} in {len(ranges)} partitions, looking back over {rows} records")
        with running(runner_options, "score") as root:
            _ = (
                _judged(root, run)
                | "for one commit" >> beam.Map(lambda judged: (0, judged))
                | "gather" >> beam.GroupByKey()
                | "commit" >> beam.ParDo(Commit(run))
            )
        return _summary(lake, run)


def usage_rows(lake: Lake, upto: int, first_day: date) -> int:
    """How many usage records a run reads."""
    return lake.read("usage", columns=["bucket"], upto=upto, days=(first_day, None)).height


def _summary(lake: Lake, run: Scoring) -> ScoreSummary:
    """What a run has committed."""
    written = {"after": run.after, "upto": run.upto}
    score, scoring = (lake.connection.execute(statement(f"queries/{n}").text, written).pl() for n in ("scored", "counted"))
    return summary_of(ScoreBatch(score, scoring, pl.DataFrame()), list(run.parts), after=run.after, upto=run.upto)
