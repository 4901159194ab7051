"""Recompute the scores of a log with the models, settings and decisions of each scoring run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import polars as pl

from trueup.config import Project
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.partitioned import merge_scores
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.load import decisions_of, first_day_needed, label_events, usage_of
from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_registry import ModelInterval, model_intervals, models_of, threshold_of
from trueup.fraud.scoring.rescore import RescoreRequest, rescore_records, unscored_upto
from trueup.fraud.scoring.rules import rules_of, with_cell_areas, with_rule_features
from trueup.fraud.scoring.score_run import CONSUMER, EMPTY, ScoreBatch, score_transactions
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

ROWS_AT_ONCE = 1_000_000
RESCORE = "rescore "


@dataclass(frozen=True)
class Run:
    """One commit of scores: for positions in (after, upto], or for earlier records that a model rescored (`rescore`)."""

    after: int
    upto: int
    snapshot: int
    configuration: str | None
    rescore: str = ""


@dataclass(frozen=True)
class Runs:
    """Consecutive runs with equal settings, models and decisions; one run over all their positions would give the same scores."""

    runs: tuple[Run, ...]

    @property
    def after(self) -> int:
        """Return the position before the first run."""
        return self.runs[0].after

    @property
    def upto(self) -> int:
        """Return the last position of the last run."""
        return self.runs[-1].upto

    @property
    def snapshots(self) -> list[int]:
        """Return the snapshots that committed the scores."""
        return [run.snapshot for run in self.runs]


@dataclass(frozen=True)
class Span:
    """Positions (after, upto] that are scored together, and the first day that their windows cover."""

    after: int
    upto: int
    first_day: date


def runs_of(lake: Lake) -> list[Runs]:
    """Return all commits of scores in order, grouped by equal settings, models and decisions."""
    query = (
        "SELECT consumer, position, snapshot_id, configuration FROM lake.events.consumer "
        "WHERE consumer = ? OR starts_with(consumer, ?) ORDER BY snapshot_id"
    )
    runs, after = list[Run](), 0
    for consumer, position, snapshot, configuration in lake.connection.execute(query, [CONSUMER, RESCORE]).fetchall():
        if consumer == CONSUMER:
            runs.append(Run(after, position, snapshot, configuration))
            after = position
        else:
            runs.append(Run(after, position, snapshot, configuration, consumer.removeprefix(RESCORE)))
    known_counts = _count_known(lake, runs)
    grouped = groupby(runs, key=lambda run: (run.configuration, run.rescore, known_counts[run.snapshot]))
    return [Runs(tuple(part)) for _, part in grouped]


def _count_known(lake: Lake, runs: list[Run]) -> dict[int, tuple[int, int]]:
    """Count the models and decisions that each commit could read.

    A decision is counted only if it is dated before a record that was already scored; no earlier record depends on any other.
    """
    models = [int(row[2]) for row in lake.connection.execute(statement("queries/fraud/model_declarations").text).fetchall()]
    decisions = decisions_of(lake, lake.project).select(
        at=pl.col("decided_at").dt.epoch("us"), snapshot="decided_snapshot"
    ).unique()  # fmt: skip
    times = lake.read("control", columns=["stream", "last_time"]).filter(pl.col("stream") == "usage").drop_nulls("last_time")
    late = list[int]()
    for at, snapshot in decisions.iter_rows():
        before = max((run.upto for run in runs if run.snapshot < snapshot and not run.rescore), default=0)
        newest = times.filter(pl.col("position") <= before)["last_time"].dt.epoch("us").max()
        if isinstance(newest, int) and newest > at:
            late.append(snapshot)
    return {
        run.snapshot: (sum(s < run.snapshot for s in models), sum(s < run.snapshot for s in late)) for run in runs
    }  # fmt: skip


def derive(lake: Lake, project: Project, runs: Runs) -> ScoreBatch:
    """Recompute the scores of some runs under the settings of `project`.

    Raises `ModelError` for a model that cannot be used.
    """
    last = runs.runs[-1]
    decisions = decisions_of(lake, project).filter(pl.col("decided_snapshot") < last.snapshot)
    if last.rescore:
        return _derive_rescore(lake, project, last, decisions)
    parts = model_intervals(lake, after=runs.after, upto=runs.upto, before=last.snapshot)
    models = models_of(project, telecom_features(), parts)
    batches = [_score_span(lake, project, span, parts, decisions, models) for span in _list_spans(lake, project, runs)]
    return merge_scores(batches) if batches else EMPTY


def _list_spans(lake: Lake, project: Project, runs: Runs) -> Iterator[Span]:
    """Yield spans of about a million records, each with the first day that its windows cover."""
    declared = with_rule_features(telecom_features(), rules_of(project.config.fraud))
    arrived = lake.read("control", columns=["stream", "accepted"], after=runs.after, upto=runs.upto)
    usage = arrived.filter(pl.col("stream") == "usage").sort("position")
    after, rows = runs.after, 0
    spans = list[tuple[int, int]]()
    for position, accepted in usage.select("position", "accepted").iter_rows():
        rows += accepted
        if rows >= ROWS_AT_ONCE:
            spans.append((after, position))
            after, rows = position, 0
    for low, high in (*spans, (after, runs.upto)):
        first_day = first_day_needed(lake, declared, after=low, upto=high) if low < high else None
        if first_day is not None:
            yield Span(low, high, first_day)


def _score_span(
    lake: Lake, project: Project, span: Span, parts: list[ModelInterval], decisions: pl.DataFrame, models: dict[str, Model]
) -> ScoreBatch:
    config = project.config.fraud
    usage = usage_of(lake, upto=span.upto, first_day=span.first_day)
    labels = label_events(lake, project, decisions, upto=span.upto)
    events = with_cell_areas(pl.concat([transactions(usage, config), labels]), rules_of(config))
    features = history(with_rule_features(telecom_features(), rules_of(config)), events, requested=events["position"] > span.after)
    return score_transactions(events, features, parts, models, config, upto=0)


def _derive_rescore(lake: Lake, project: Project, run: Run, decisions: pl.DataFrame) -> ScoreBatch:
    """Recompute the scores of one rescore run."""
    model_id, first = run.rescore.rsplit(" ", 1)
    query = (
        "SELECT min(split_part(consumer, ' ', 3)::BIGINT) FROM lake.events.consumer "
        "WHERE starts_with(consumer, ?) AND snapshot_id < ?"
    )
    before = lake.connection.execute(query, [f"{RESCORE}{model_id} ", run.snapshot]).fetchone()
    last = None if before is None or before[0] is None else int(before[0])
    limit = threshold_of(lake, model_id, before=run.snapshot)
    part = ModelInterval(model_id, "champion", 0, unscored_upto(lake, model_id), limit)
    request = RescoreRequest(part, int(first), last)
    return merge_scores(rescore_records(lake, project, request, decisions, upto=run.upto))
