"""Train a model on a project's log, and compare two models on the same later days."""

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
from trueup.fraud.load import decisions_of, events_of, labels_of, usage_of
from trueup.fraud.scoring.model import Model, ModelError, load_model
from trueup.fraud.scoring.model_registry import folder_of, model_intervals
from trueup.fraud.scoring.model_score import margins
from trueup.fraud.scoring.rules import back_test, cases_of_rules, rule_matches, rules_of, with_cell_areas, with_rule_features
from trueup.fraud.scoring.starter import starter_model
from trueup.fraud.training.budget import cases_of, with_parties
from trueup.fraud.training.cost import ReviewCost
from trueup.fraud.training.folds import Table, folds, table_of
from trueup.fraud.training.labels import contradictions, latest_decision, targets
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision, value_detected_ratio
from trueup.fraud.training.time_span import time_span
from trueup.fraud.training.train import Settings, train_model
from trueup.log.lake import Lake
from trueup.regular import open_regular


@dataclass(frozen=True)
class Trained:
    """A new model, its folder, and the position of the log at which it was trained."""

    model: Model
    folder: Path
    position: int


@dataclass(frozen=True)
class Compared:
    """The quality of one model on the later days of a comparison. `had_seen`: the model was trained on some of these days."""

    model_id: str
    role: str
    average_precision: float
    auc: float
    precision_at_budget: float
    value_detected_ratio: float | None
    cases: int
    had_seen: bool


def settings_of(config: FraudConfig) -> Settings:
    """Return the training settings of a configuration."""
    cost = None if config.review_cost is None else ReviewCost(config.review_cost)
    return Settings(
        config.alerts_per_day,
        config.label_delay,
        trials=config.trials,
        seed=config.seed,
        review_cost=cost,
        start=starter_model() if config.warm_start else None,
    )


@dataclass(frozen=True)
class Learnable:
    """The training data of a log: rows with a known label, later rows without one, and the position and newest time of the log.

    `rule_cases` (day, party, rule) are the cases that rules raise, which are part of the budget.
    """

    table: Table
    recent: Table
    position: int
    newest_us: int
    contradictions: int
    rule_cases: pl.DataFrame


def learnable(project: Project, truth: Path | None) -> Learnable:
    """Return the features of all transactions of a project's log, divided into those with and without a known label."""
    log_labels = _read_labels(project, truth)
    declared = telecom_features()
    rows = _derive_targets(project, log_labels)
    known = pl.col("decided_us").is_not_null() | (pl.col("honest_us") <= log_labels.newest_us)
    parties = pl.col("event_id", "day", "peer", "is_received", "loss_micros"), pl.col("subscriber").alias("party")
    facts = log_labels.events.filter(~pl.col("is_label")).select(*parties)
    rows = rows.join(facts, on="event_id", how="left", maintain_order="left")
    if log_labels.types is not None:
        rows = rows.join(log_labels.types, on="event_id", how="left", maintain_order="left")
    rules = [rule for rule in rules_of(project.config.fraud) if not rule.shadow]
    with_rules, events = with_rule_features(declared, rules), with_cell_areas(log_labels.events, rules)
    features = history(with_rules, events)
    known_table, recent = (table_of(declared, features, rows.filter(of)) for of in (known, ~known))
    matches = rule_matches(rules, events, features, with_rules.owners)
    cases = cases_of_rules(matches, facts.rename({"party": "subscriber"}))
    return Learnable(known_table, recent, log_labels.position, log_labels.newest_us, log_labels.contradictions, cases)


@dataclass(frozen=True)
class _LogLabels:
    """Events of a log, labels for training, the newest time of a record and, if a truth is given, the types of frauds."""

    events: pl.DataFrame
    labels: pl.DataFrame
    newest_us: int
    types: pl.DataFrame | None
    position: int
    contradictions: int = 0


def _read_labels(project: Project, path: Path | None) -> _LogLabels:
    truth = None if path is None else _read_truth(path)
    with Lake.open(project, read_only=True) as lake:
        upto = lake.last_position()
        usage = usage_of(lake, upto=upto)
        labels = labels_of(lake, project, usage, truth)
        events = events_of(usage, labels, project)
        times = events.filter(~pl.col("is_label"))["at_us"].to_numpy()
        if not len(times):
            raise ModelError(
                "there is nothing to learn: the log has no usage records with a time", todo="collect usage records first"
            )
        newest = time_span(times)[1]
        decisions = None if truth is not None else decisions_of(lake, project)
    if decisions is None:
        known = labels.filter(pl.col("known_us") <= newest)
        return _LogLabels(events, known, newest, None if truth is None else _read_types(truth, usage), upto)
    return _LogLabels(events, latest_decision(decisions), newest, None, upto, contradictions(decisions))


def _derive_targets(project: Project, log_labels: _LogLabels) -> pl.DataFrame:
    """Return the targets of all transactions.

    After a backlog, all decisions may be later than the log's newest record. In daily operation a person decides within the label
    delay. So the folds count these decisions as known at the end of the delay.
    """
    rows = targets(log_labels.events, log_labels.labels, label_delay_us=project.config.fraud.label_delay)
    afterwards, by_delay = pl.col("decided_us") > log_labels.newest_us, pl.min_horizontal("decided_us", "honest_us")
    return rows.with_columns(decided_us=pl.when(afterwards).then(by_delay).otherwise("decided_us"))


def try_rules(project: Project, *, truth: Path | None = None, by_day: bool = False) -> pl.DataFrame:
    """Return the back-test of all rules, including those in shadow, over the whole log, without writing anything."""
    log_labels, rules = _read_labels(project, truth), rules_of(project.config.fraud)
    if not rules:
        raise TrueupError(
            "there are no rules to try", where=str(project.directory),
            todo='add [[fraud.rule]] to trueup.toml, or write `detectors = "shadow"` under [fraud]',
        )  # fmt: skip
    events = with_cell_areas(log_labels.events, rules)
    declared = with_rule_features(telecom_features(), rules)
    matches = rule_matches(rules, events, history(declared, events), declared.owners)
    rows = _derive_targets(project, log_labels)
    known = pl.col("decided_us").is_not_null() | (pl.col("honest_us") <= log_labels.newest_us)
    rows = rows.with_columns(fraud=pl.when(known).then("fraud"))
    facts = events.filter(~pl.col("is_label")).select("event_id", "day", "subscriber", "peer", "loss_micros")
    return back_test(rules, matches, rows.join(facts, on="event_id", how="left"), by_day=by_day)


def train(project: Project, *, truth: Path | None = None) -> Trained:
    """Train a model on a log and write its folder; raises `ModelError` without labels of both classes."""
    known, config = learnable(project, truth), project.config.fraud
    at = known.table.rows["at_us"]
    card = {
        "snapshot": f"the log at position {known.position}, labels from {'truth' if truth else 'decisions'}",
        "trained_on": {"position": known.position, "first_us": at.min(), "last_us": at.max()},
        "contradictions": known.contradictions, "home_prefixes": list(config.home_prefixes),
    }  # fmt: skip
    settings = replace(settings_of(config), taken=known.rule_cases)
    model = train_model(telecom_features(), known.table, settings, recent=known.recent, card=card, now_us=known.newest_us)
    return Trained(model, model.save(project.resolve(config.models), picture=_draw_calibration(model)), known.position)


def _draw_calibration(model: Model) -> str | None:
    """Draw the calibration; None where it was not checked, or the extra `pictures` is not installed."""
    try:
        from trueup.pictures.svg import calibration_svg
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trueup"):
            raise
        return None
    bins = model.card.get("reliability")
    return calibration_svg(bins, f"Calibration of model {model.model_id[:12]}") if bins else None


def compare(project: Project, *, truth: Path | None = None) -> list[Compared]:
    """Compare the model in force with a new one on the same days after the new one's training, without writing anything."""
    known = learnable(project, truth)
    table, position = known.table, known.position
    settings, declared = settings_of(project.config.fraud), telecom_features()
    last = folds(table, settings.folds, now_us=known.newest_us)[-1]
    # Train on the transactions before the cut, with the labels known at the cut.
    earlier = Table(table.values[last.train.at], table.rows[last.train.at].with_columns(fraud=pl.Series(last.train.fraud)))
    # Only whole days before the cut count, so that no case of rules is of later records.
    by_rules = known.rule_cases.filter(pl.col("day") < pl.lit(table.rows[last.test]["day"].min()))
    of_fold = replace(settings, folds=max(1, settings.folds - 1), taken=by_rules)
    new = train_model(declared, earlier, of_fold, now_us=last.cut_us)
    compared = [measure(new, "challenger", table, last.test, had_seen=False, settings=settings)]
    with Lake.open(project, read_only=True) as lake:
        # The champion is the model in force for the next positions.
        champions = [s for s in model_intervals(lake, after=max(0, position - 1), upto=position + 1) if s.role == "champion"]
    if champions:
        champion = load_model(folder_of(project, champions[-1].model_id), declared)
        first_day = str(table.rows[last.test]["day"].min())
        had_seen = "trained_on" in champion.card and str(champion.card.get("to", "")) >= first_day
        compared.append(measure(champion, "champion", table, last.test, had_seen=had_seen, settings=settings))
    return compared


def measure(model: Model, role: str, table: Table, at: Any, *, had_seen: bool, settings: Settings) -> Compared:
    """Return the quality of a model on some rows of a table."""
    part, booster, declared = table.take(at), model.booster(), telecom_features()
    margin = margins(booster, np.ascontiguousarray(part.values))
    probability, fraud = model.calibration.probability(margin), part.fraud
    rows = with_parties(part, margin, booster, [declared.owners[n] for n in declared.names])
    detected = value_detected_ratio(rows.with_columns(score=pl.Series(probability)), budget=settings.alerts_per_day)
    return Compared(
        model.model_id, role, average_precision(fraud, probability), auc_roc(fraud, probability),
        party_precision(rows, budget=settings.alerts_per_day), detected, _count_cases(rows, probability >= model.threshold),
        had_seen,
    )  # fmt: skip


def _count_cases(rows: pl.DataFrame, suspicious: Any) -> int:
    return cases_of(rows.filter(pl.Series(suspicious))).height


def _read_truth(path: Path) -> pl.DataFrame:
    try:
        # The file is opened here, because Polars would take the characters [, * and ? of a path for wildcards.
        with open_regular(path) as file:
            return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrueupError(f"the truth cannot be read: {str(error).splitlines()[0]}", where=str(path)) from None


def _read_types(truth: pl.DataFrame, usage: pl.DataFrame) -> pl.DataFrame:
    frauds = truth.filter(pl.col("category") == "fraud").select(type="kind", record_key="usage_record_keys")
    records = frauds.explode("record_key", empty_as_null=False, keep_nulls=False)
    records = records.join(usage.select("record_key", "event_id"), on="record_key", how="inner").sort("type", "event_id")
    return records.select("event_id", "type").unique("event_id", keep="first", maintain_order=True)
