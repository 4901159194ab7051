"""Training on a project's log, and two models on the same later days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trueup.config import FraudConfig, Project
from trueup.errors import TrueupError
from trueup.fraud.engine import history
from trueup.fraud.force import folder_of, stretches
from trueup.fraud.labels import last_said, targets
from trueup.fraud.load import decisions_of, events_of, labels_of, party, usage_of
from trueup.fraud.metrics import auc_roc, average_precision, party_precision
from trueup.fraud.model import Model, ModelError, loaded
from trueup.fraud.score import margins
from trueup.fraud.telecom import telecom_features
from trueup.fraud.train import Settings, Table, folds, table_of, trained
from trueup.log.lake import Lake


@dataclass(frozen=True)
class Trained:
    """A new model, where it lies, and the position of the log it was trained at."""

    model: Model
    folder: Path
    position: int


@dataclass(frozen=True)
class Compared:
    """How one model did on the later days of a comparison. `had_seen`: it was trained on some of them."""

    model_id: str
    role: str
    average_precision: float
    auc: float
    precision_at_budget: float
    alerts: int
    had_seen: bool


def settings_of(config: FraudConfig) -> Settings:
    """The training a configuration asks for."""
    return Settings(config.alerts_per_day, config.label_delay, trials=config.trials, seed=config.seed)


@dataclass(frozen=True)
class Learnable:
    """What a project's log has to learn from: rows whose label is known, later rows without, and the position it was read at."""

    table: Table
    recent: Table
    position: int


def learnable(project: Project, truth: Path | None) -> Learnable:
    """Everything of a project's log with its features, apart by whether its label is known yet."""
    said_by_truth = None if truth is None else _truth(truth)
    with Lake.open(project, read_only=True) as lake:
        upto = lake.last_position()
        usage = usage_of(lake, upto=upto)
        labels = labels_of(lake, project, usage, said_by_truth)
        events = events_of(usage, labels, project)
        seen = events.filter(~pl.col("is_label"))
        if seen.is_empty():
            raise ModelError("there is nothing to learn: the log has no usage records with a time", todo="take some in")
        newest = int(seen["at_us"].max())  # type: ignore[arg-type]
        said = labels.filter(pl.col("known_us") <= newest) if truth else last_said(decisions_of(lake, project), upto_us=newest)
    declared = telecom_features()
    rows = targets(events, said, label_delay_us=project.config.fraud.label_delay, upto_us=newest)
    parties = seen.select("event_id", "at_us", "day", party=party())
    later = parties.join(rows, on="event_id", how="anti", maintain_order="left")
    later = later.with_columns(known_us=pl.lit(None, pl.Int64), fraud=pl.lit(value=False))
    rows = rows.join(parties.drop("at_us"), on="event_id", how="left", maintain_order="left")
    if said_by_truth is not None:
        rows = rows.join(_types(said_by_truth, usage), on="event_id", how="left", maintain_order="left")
    features = history(declared, events)
    return Learnable(table_of(declared, features, rows), table_of(declared, features, later), upto)


def train(project: Project, *, truth: Path | None = None) -> Trained:
    """Trains a model on what a log says and writes its folder; raises `ModelError` without labels to learn from."""
    known = learnable(project, truth)
    card = {"snapshot": f"the log at position {known.position}, labels from {'truth' if truth else 'decisions'}"}
    model = trained(telecom_features(), known.table, settings_of(project.config.fraud), recent=known.recent, card=card)
    return Trained(model, model.saved(project.resolve(project.config.fraud.models)), known.position)


def compare(project: Project, *, truth: Path | None = None) -> list[Compared]:
    """The model in force and a new one, trained on what was known before, on the same later days. Nothing is written."""
    known = learnable(project, truth)
    table, position = known.table, known.position
    settings, declared = settings_of(project.config.fraud), telecom_features()
    last = folds(table, settings.folds)[-1]
    earlier = Table(table.values[last.train], table.rows[last.train])
    new = trained(declared, earlier, replace(settings, folds=max(1, settings.folds - 1)))
    found = [_compared(new, "challenger", table, last.test, had_seen=False, settings=settings)]
    with Lake.open(project, read_only=True) as lake:
        # Whoever is in force for what comes next.
        standing = [s for s in stretches(lake, after=max(0, position - 1), upto=position + 1) if s.role == "champion"]
    if standing:
        champion = loaded(folder_of(project, standing[-1].model_id), declared)
        first_day = str(table.rows[last.test]["day"].min())
        had_seen = str(champion.card.get("to", "")) >= first_day
        found.append(_compared(champion, "champion", table, last.test, had_seen=had_seen, settings=settings))
    return found


def _compared(model: Model, role: str, table: Table, at: Any, *, had_seen: bool, settings: Settings) -> Compared:
    probability = model.calibration.probability(margins(model.booster(), np.ascontiguousarray(table.values[at])))
    fraud, rows = table.fraud[at], table.rows[at].with_columns(score=pl.Series(probability))
    return Compared(
        model.model_id, role, average_precision(fraud, probability), auc_roc(fraud, probability),
        party_precision(rows, budget=settings.alerts_per_day), int((probability >= model.threshold).sum()), had_seen,
    )  # fmt: skip


def _truth(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrueupError(f"the truth cannot be read: {str(error).splitlines()[0]}", where=str(path)) from None


def _types(truth: pl.DataFrame, usage: pl.DataFrame) -> pl.DataFrame:
    frauds = truth.filter(pl.col("category") == "fraud").select(type="kind", record_key="usage_record_keys")
    told = frauds.explode("record_key", empty_as_null=False, keep_nulls=False)
    told = told.join(usage.select("record_key", "event_id"), on="record_key", how="inner").sort("type", "event_id")
    return told.select("event_id", "type").unique("event_id", keep="first", maintain_order=True)
