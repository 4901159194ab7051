"""The scores of a log derived anew: what runs of scoring had to find, given the models, settings and decisions of their time."""

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
from trueup.fraud.scoring.model_registry import ModelInterval, model_intervals, models_of
from trueup.fraud.scoring.rescore import judged_again, unjudged_upto
from trueup.fraud.scoring.rules import with_cell_areas, with_rule_features
from trueup.fraud.scoring.score_run import CONSUMER, EMPTY, ScoreBatch, score_transactions
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

ROWS_AT_ONCE = 1_000_000
RESCORE = "rescore "


@dataclass(frozen=True)
class Run:
    """One commit of scores: of positions in (after, upto], or of a model that judged earlier records again (`rescore`)."""

    after: int
    upto: int
    snapshot: int
    configuration: str | None
    rescore: str = ""


@dataclass(frozen=True)
class Runs:
    """Consecutive runs that knew the same settings, models and decisions: together they score what one run would have."""

    runs: tuple[Run, ...]

    @property
    def after(self) -> int:
        """The position before the first."""
        return self.runs[0].after

    @property
    def upto(self) -> int:
        """The position that the last went up to."""
        return self.runs[-1].upto

    @property
    def snapshots(self) -> list[int]:
        """The commits that brought their scores."""
        return [run.snapshot for run in self.runs]


def runs_of(lake: Lake) -> list[Runs]:
    """All commits of scores in their order, those that knew the same together."""
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
    knew = _known(lake, runs)
    grouped = groupby(runs, key=lambda run: (run.configuration, run.rescore, knew[run.snapshot]))
    return [Runs(tuple(part)) for _, part in grouped]


def _known(lake: Lake, runs: list[Run]) -> dict[int, tuple[int, int]]:
    """How many models and decisions each commit knew; decisions that no earlier record could have known count from the start."""
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
    """What some runs found, derived anew under the settings of `project`. Raises `ModelError` for a model that cannot be used."""
    last = runs.runs[-1]
    decisions = decisions_of(lake, project).filter(pl.col("decided_snapshot") < last.snapshot)
    if last.rescore:
        return _again(lake, project, last, decisions)
    parts = model_intervals(lake, after=runs.after, upto=runs.upto, before=last.snapshot)
    models = models_of(project, telecom_features(), parts)
    found = [
        _judged(lake, project, parts, decisions, after=after, upto=upto, first_day=first_day, models=models)
        for after, upto, first_day in _spans(lake, project, runs)
    ]
    return merge_scores(found) if found else EMPTY


def _spans(lake: Lake, project: Project, runs: Runs) -> Iterator[tuple[int, int, date]]:
    """Positions in spans of about a million records, with the first day that their windows reach back to."""
    declared = with_rule_features(telecom_features(), project.config.fraud.rule)
    brought = lake.read("control", columns=["stream", "accepted"], after=runs.after, upto=runs.upto)
    usage = brought.filter(pl.col("stream") == "usage").sort("position")
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
            yield low, high, first_day


def _judged(
    lake: Lake, project: Project, parts: list[ModelInterval], decisions: pl.DataFrame, *, after: int, upto: int, first_day: date,
    models: dict,  # type: ignore[type-arg]
) -> ScoreBatch:  # fmt: skip
    config = project.config.fraud
    usage = usage_of(lake, upto=upto, first_day=first_day)
    labels = label_events(lake, project, decisions, upto=upto)
    events = with_cell_areas(pl.concat([transactions(usage, config), labels]), config.rule)
    features = history(with_rule_features(telecom_features(), config.rule), events, wanted=events["position"] > after)
    return score_transactions(events, features, parts, models, config, upto=0)


def _again(lake: Lake, project: Project, run: Run, decisions: pl.DataFrame) -> ScoreBatch:
    """What a model found that judged earlier records again."""
    model_id, first = run.rescore.rsplit(" ", 1)
    query = (
        "SELECT min(split_part(consumer, ' ', 3)::BIGINT) FROM lake.events.consumer "
        "WHERE starts_with(consumer, ?) AND snapshot_id < ?"
    )
    before = lake.connection.execute(query, [f"{RESCORE}{model_id} ", run.snapshot]).fetchone()
    last = None if before is None or before[0] is None else int(before[0])
    part = ModelInterval(model_id, "champion", 0, unjudged_upto(lake, model_id))
    return merge_scores(judged_again(lake, project, part, (int(first), last), decisions, upto=run.upto))
