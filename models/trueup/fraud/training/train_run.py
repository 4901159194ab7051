"""Training on a project's log, and two models on the same later days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trueup.config import FraudConfig, Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.load import decisions_of, events_of, labels_of, party, usage_of
from trueup.fraud.scoring.model import Model, ModelError, loaded
from trueup.fraud.scoring.model_registry import folder_of, model_intervals
from trueup.fraud.scoring.model_score import margins
from trueup.fraud.scoring.rules import back_test, rule_matches, with_cell_areas, with_rule_features
from trueup.fraud.training.labels import latest_decision, training_targets
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision
from trueup.fraud.training.train import Settings, Table, folds, table_of, trained
from trueup.log.lake import Lake
from trueup.regular import open_regular


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
    heard = _heard(project, truth)
    declared = telecom_features()
    rows = _known(project, heard)
    parties = heard.events.filter(~pl.col("is_label")).select("event_id", "at_us", "day", party=party())
    later = parties.join(rows, on="event_id", how="anti", maintain_order="left")
    later = later.with_columns(known_us=pl.lit(None, pl.Int64), fraud=pl.lit(value=False))
    rows = rows.join(parties.drop("at_us"), on="event_id", how="left", maintain_order="left")
    if heard.types is not None:
        rows = rows.join(heard.types, on="event_id", how="left", maintain_order="left")
    features = history(declared, heard.events)
    return Learnable(table_of(declared, features, rows), table_of(declared, features, later), heard.position)


@dataclass(frozen=True)
class _Heard:
    """Events of a log, what was said of them by its newest time, and of which type frauds were, where a truth tells."""

    events: pl.DataFrame
    said: pl.DataFrame
    newest_us: int
    types: pl.DataFrame | None
    position: int


def _heard(project: Project, path: Path | None) -> _Heard:
    truth = None if path is None else _truth(path)
    with Lake.open(project, read_only=True) as lake:
        upto = lake.last_position()
        usage = usage_of(lake, upto=upto)
        labels = labels_of(lake, project, usage, truth)
        events = events_of(usage, labels, project)
        newest = events.filter(~pl.col("is_label"))["at_us"].max()
        if not isinstance(newest, int):
            raise ModelError("there is nothing to learn: the log has no usage records with a time", todo="take some in")
        decided = None if truth is not None else latest_decision(decisions_of(lake, project), upto_us=newest)
    said = labels.filter(pl.col("known_us") <= newest) if decided is None else decided
    return _Heard(events, said, newest, None if truth is None else _types(truth, usage), upto)


def _known(project: Project, heard: _Heard) -> pl.DataFrame:
    return training_targets(heard.events, heard.said, label_delay_us=project.config.fraud.label_delay, upto_us=heard.newest_us)


def tried(project: Project, *, truth: Path | None = None) -> pl.DataFrame:
    """What the rules would have caught in all of a log's history, those in shadow too. Nothing is written."""
    heard, rules = _heard(project, truth), project.config.fraud.rule
    if not rules:
        raise TrueupError("there are no rules to try", where=str(project.directory), todo="add [[fraud.rule]] to trueup.toml")
    events = with_cell_areas(heard.events, rules)
    found = rule_matches(rules, events, history(with_rule_features(telecom_features(), rules), events))
    return back_test(found, _known(project, heard))


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
        standing = [s for s in model_intervals(lake, after=max(0, position - 1), upto=position + 1) if s.role == "champion"]
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
        # Opened here: Polars would take the characters [, * and ? of a path for wildcards.
        with open_regular(path) as file:
            return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrueupError(f"the truth cannot be read: {str(error).splitlines()[0]}", where=str(path)) from None


def _types(truth: pl.DataFrame, usage: pl.DataFrame) -> pl.DataFrame:
    frauds = truth.filter(pl.col("category") == "fraud").select(type="kind", record_key="usage_record_keys")
    told = frauds.explode("record_key", empty_as_null=False, keep_nulls=False)
    told = told.join(usage.select("record_key", "event_id"), on="record_key", how="inner").sort("type", "event_id")
    return told.select("event_id", "type").unique("event_id", keep="first", maintain_order=True)
