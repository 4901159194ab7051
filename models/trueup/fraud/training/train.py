"""Train a model on earlier transactions with labels known by then, and set the threshold by the daily alert budget."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.monitoring.drift import MARGIN, reference
from trueup.fraud.scoring.model import Model, ModelError, matrix, threads_for
from trueup.fraud.training.calibrate import Calibration, calibration_error
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision

DAY_US = 86_400_000_000
BLIND_SPOTS = (
    "a party's first fraudulent transactions, before they differ from its usual ones",
    "kinds of fraud without any label yet",
    "frauds whose labels come later than the label delay: they count as honest",
    "events outside the collected records: applications, payments, handsets sold",
)
_GRID: dict[str, tuple[float, ...]] = {"max_depth": (5, 3), "scale": (1.0, 0.5), "eta": (0.1,), "min_child_weight": (5, 1)}
"""Searched in this order up to the number of trials; frauds are weighted by the class ratio to the power `scale`."""
_MOST_ROUNDS, _USUAL_ROUNDS, _LEAST_ROUNDS, _PATIENCE = 300, 100, 30, 25
_STOPPING_SHARE = 0.2

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """Settings of training. `label_delay_us`: a transaction without a label after this time counts as honest."""

    alerts_per_day: int = 100
    label_delay_us: int = 7 * DAY_US
    folds: int = 3
    trials: int = 6
    seed: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of training, in order of time: features, and `at_us`, `known_us`, `day`, `party`, `fraud`, `type` of each."""

    values: NDArray[np.float32]
    rows: pl.DataFrame

    @property
    def fraud(self) -> Bools:
        """Return which rows are frauds."""
        return self.rows["fraud"].to_numpy()


def table_of(declared: FeatureSet, features: pl.DataFrame, rows: pl.DataFrame) -> Table:
    """Return the table of features (`event_id` and `declared.names`) and rows (`event_id` and the columns of `Table.rows`)."""
    joined = rows.join(features, on="event_id", how="inner", maintain_order="left").sort("at_us", "event_id")
    if "type" not in joined.columns:
        joined = joined.with_columns(type=pl.lit(None, pl.String))
    return Table(matrix(joined, declared.names), joined.select("event_id", "at_us", "known_us", "day", "party", "fraud", "type"))


@dataclass(frozen=True)
class Fold:
    """Row numbers known before an instant (`train`), and those from it to the next (`test`)."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def folds(table: Table, count: int) -> list[Fold]:
    """Return prequential folds over the later half of the time: each is tested on one interval and trained on labels known before.

    Raises `ModelError` where no interval has frauds to test on and frauds known before.
    """
    at, known, fraud = (table.rows[n].to_numpy() for n in ("at_us", "known_us", "fraud"))
    if not len(at) or fraud.all() or not fraud.any():
        had = "no transaction has a known label" if not len(at) else f"all labels say {'fraud' if fraud.any() else 'honest'}"
        raise ModelError(f"there is nothing to learn: {had}", todo="decide on some cases, or wait until labels are known")
    first, last = int(at.min()), int(at.max()) + 1
    edges = [first + (last - first) * (count + n) // (2 * count) for n in range(count + 1)]
    candidates = [
        Fold(np.flatnonzero(known < low), np.flatnonzero((at >= low) & (at < high))) for low, high in itertools.pairwise(edges)
    ]
    usable = [f for f in candidates if fraud[f.train].any() and fraud[f.test].any()]
    if not usable:
        raise ModelError(
            "no later days have frauds that earlier labels could foretell", todo="wait for more labels, or shorten label_delay"
        )
    return usable


@dataclass(frozen=True)
class _Trial:
    """The parameters of one trial of the grid, the rounds of its folds, and its average precision on their test rows."""

    parameters: dict[str, float]
    rounds: int
    quality: float


def train_model(
    declared: FeatureSet, table: Table, settings: Settings, *, recent: Table | None = None, card: dict[str, Any] | None = None
) -> Model:
    """Search the grid on folds, calibrate on their test rows, then train on all rows.

    The threshold fills the alert budget on `recent` rows, whose labels are not known yet: the model was not trained on them, and
    they resemble future transactions most. Without recent rows the test rows of the folds decide. Raises `ModelError` without
    labels of both classes, or when no fold can be tested.
    """
    parts = folds(table, settings.folds)
    # Of equally good trials the first counts.
    best = max((_trial(table, parts, parameters, settings) for parameters in _grid(settings.trials)), key=lambda t: t.quality)
    at = np.concatenate([f.test for f in parts])
    margin = np.concatenate([m for _, m in _unseen(table, parts, best.parameters, best.rounds, settings)])
    fraud = table.fraud[at]
    calibration = Calibration.fitted(margin, fraud)
    probability = calibration.probability(margin)
    unseen = table.rows[at].with_columns(score=pl.Series(probability))
    everything = np.arange(len(table.fraud))
    booster = xgb.train(_parameters(table.fraud, best.parameters, settings.seed), _data(table, everything), best.rounds)
    unseen_margin = margin
    if recent is not None and recent.rows.height:
        unseen_margin = booster.predict(_data(recent, np.arange(recent.rows.height)), output_margin=True).astype(np.float64)
        unseen = recent.rows.with_columns(score=pl.Series(calibration.probability(unseen_margin)))
    # A transaction no likelier fraud than the average one is not suspicious, even where the alert budget allows it.
    threshold = max(threshold_for(unseen, settings.alerts_per_day), float(table.fraud.mean()))
    honest = table.values[~table.fraud]
    usual = {n: float(v) for n, v in zip(declared.names, _medians(honest), strict=True)}
    facts = _card(table, settings, best, at, probability, threshold) | _bins(declared, table, unseen_margin)
    return Model(bytes(booster.save_raw("ubj")), declared.names, declared.hash, calibration, threshold, usual, facts | (card or {}))


def _trial(table: Table, parts: list[Fold], parameters: dict[str, float], settings: Settings) -> _Trial:
    """Return the trial of parameters on folds."""
    rounds = int(np.median([_rounds(table, fold, parameters, settings.seed) for fold in parts]))
    judged = _unseen(table, parts, parameters, rounds, settings)
    return _Trial(parameters, rounds, float(np.mean([average_precision(table.fraud[f.test], margin) for f, margin in judged])))


def _grid(budget: int) -> list[dict[str, float]]:
    every = [dict(zip(_GRID, values, strict=True)) for values in itertools.product(*_GRID.values())]
    return every[:budget]


def _parameters(fraud: Bools, parameters: dict[str, float], seed: int) -> dict[str, Any]:
    honest_per_fraud = (len(fraud) - fraud.sum()) / max(1, fraud.sum())
    return {
        "objective": "binary:logistic", "tree_method": "hist", "base_score": 0.5, "max_depth": int(parameters["max_depth"]),
        "eta": parameters["eta"], "min_child_weight": parameters["min_child_weight"], "subsample": 0.8, "colsample_bytree": 0.6,
        "reg_lambda": 3.0, "scale_pos_weight": float(honest_per_fraud ** parameters["scale"]) if parameters["scale"] < 1 else 1.0,
        "seed": seed, "nthread": threads_for(len(fraud)), "eval_metric": "logloss",
    }  # fmt: skip


def _data(table: Table, at: NDArray[np.intp]) -> xgb.DMatrix:
    return xgb.DMatrix(table.values[at], table.fraud[at], nthread=threads_for(len(at)))


def _rounds(table: Table, fold: Fold, parameters: dict[str, float], seed: int) -> int:
    """Return the number of rounds that early stopping finds on the last part of a fold's training rows."""
    cut = int(len(fold.train) * (1 - _STOPPING_SHARE))
    early, late = fold.train[:cut], fold.train[cut:]
    if not table.fraud[early].any() or not table.fraud[late].any():
        return _USUAL_ROUNDS
    watched = xgb.train(
        _parameters(table.fraud[early], parameters, seed), _data(table, early), _MOST_ROUNDS, evals=[(_data(table, late), "later")],
        verbose_eval=False, early_stopping_rounds=_PATIENCE,
    )  # fmt: skip
    return max(_LEAST_ROUNDS, int(watched.best_iteration) + 1)


def _unseen(
    table: Table, parts: list[Fold], parameters: dict[str, float], rounds: int, settings: Settings
) -> list[tuple[Fold, Floats]]:
    """Return each fold with the margins of its test rows.

    All folds train for the rounds of the final model, so their margins are comparable.
    """
    results = []
    for fold in parts:
        booster = xgb.train(_parameters(table.fraud[fold.train], parameters, settings.seed), _data(table, fold.train), rounds)
        results.append((fold, booster.predict(_data(table, fold.test), output_margin=True).astype(np.float64)))
    return results


def threshold_for(scored: pl.DataFrame, alerts_per_day: int) -> float:
    """Return the lowest score that alerts on average no more parties a day than `alerts_per_day`."""
    days = scored["day"].n_unique()
    per_party = scored.group_by("day", "party").agg(pl.col("score").max())["score"].sort(descending=True)
    allowed = min(alerts_per_day * days, len(per_party))
    return float(per_party[allowed - 1]) if allowed else 1.0


def _medians(values: NDArray[np.float32]) -> Floats:
    medians = [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in values.T]
    return np.array(medians, dtype=np.float64)


def _card(
    table: Table, settings: Settings, trial: _Trial, at: NDArray[np.intp], probability: Floats, threshold: float
) -> dict[str, Any]:
    fraud, unseen = table.fraud[at], table.rows[at].with_columns(score=pl.Series(probability))
    alerted = (pl.col("score") >= threshold).sum()
    by_type = unseen.filter("fraud").group_by("type").agg(transactions=pl.len(), alerted=alerted).sort("type")
    days = table.rows["day"]
    card: dict[str, Any] = {
        "transactions": table.rows.height, "frauds": int(table.fraud.sum()), "from": str(days.min()), "to": str(days.max()),
        "seed": settings.seed, "threads": threads_for(table.rows.height), "rounds": trial.rounds, "parameters": trial.parameters,
        "xgboost": xgb.__version__, "alerts_per_day": settings.alerts_per_day, "label_delay_us": settings.label_delay_us,
        "metrics": {
            "average_precision": average_precision(fraud, probability),
            "auc": auc_roc(fraud, probability),
            "precision_at_budget": party_precision(unseen, budget=settings.alerts_per_day),
        },
        "reliability": calibration_error(probability, fraud),
        "blind_spots": list(BLIND_SPOTS),
    }  # fmt: skip
    if by_type["type"].null_count() < by_type.height:
        card["by_type"] = by_type.to_dicts()
        missed = [t["type"] for t in card["by_type"] if t["type"] and not t["alerted"]]
        card["blind_spots"] += [f"{t}: no transaction of this type raised an alert on later days" for t in missed]
    return card


def _bins(declared: FeatureSet, table: Table, margin: Floats) -> dict[str, Any]:
    """Return the bin edges and shares of each feature and of margins outside training, the reference of drift."""
    bins = {n: reference(table.values[:, i]) for i, n in enumerate(declared.names)}
    return {"reference": bins | {MARGIN: reference(margin.astype(np.float32))}}
