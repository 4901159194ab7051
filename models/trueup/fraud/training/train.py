"""Training as time allows: folds that only look back, labels only once they are known, and a threshold people can work through."""

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
from trueup.fraud.scoring.model import THREADS, Model, ModelError, matrix
from trueup.fraud.training.calibrate import Calibration, calibration_error
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision

DAY_US = 86_400_000_000
BLIND_SPOTS = (
    "a party's first fraudulent transactions, before they differ from its usual ones",
    "kinds of fraud that nobody has labelled yet",
    "frauds whose labels come later than the label delay: they were taken for honest",
    "what happens outside the records taken in: applications, payments, handsets sold",
)
_GRID: dict[str, tuple[float, ...]] = {"max_depth": (5, 3), "scale": (1.0, 0.5), "eta": (0.1,), "min_child_weight": (5, 1)}
"""Searched in this order as far as the budget goes; `scale` is the power of the class ratio that frauds are weighted by."""
_MOST_ROUNDS, _USUAL_ROUNDS, _LEAST_ROUNDS, _PATIENCE = 300, 100, 30, 25
_STOPPING_SHARE = 0.2

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """How to train. `label_delay_us`: what nobody has labelled by then is honest."""

    alerts_per_day: int = 100
    label_delay_us: int = 7 * DAY_US
    folds: int = 3
    trials: int = 6
    seed: int = 0


@dataclass(frozen=True)
class Table:
    """Rows to learn from, in order of time: features, and `at_us`, `known_us`, `day`, `party`, `fraud`, `type` of each."""

    values: NDArray[np.float32]
    rows: pl.DataFrame

    @property
    def fraud(self) -> Bools:
        """Which rows are frauds."""
        return self.rows["fraud"].to_numpy()


def table_of(declared: FeatureSet, features: pl.DataFrame, rows: pl.DataFrame) -> Table:
    """A table of features (`event_id` and `declared.names`) and rows (`event_id` and the columns of `Table.rows`)."""
    joined = rows.join(features, on="event_id", how="inner", maintain_order="left").sort("at_us", "event_id")
    if "type" not in joined.columns:
        joined = joined.with_columns(type=pl.lit(None, pl.String))
    return Table(matrix(joined, declared.names), joined.select("event_id", "at_us", "known_us", "day", "party", "fraud", "type"))


@dataclass(frozen=True)
class Fold:
    """Rows known before an instant, and those of the time from it to the next."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def folds(table: Table, count: int) -> list[Fold]:
    """Prequential folds over the later half of the time: each is tested on one stretch, trained on what was known before it.

    Raises `ModelError` where no stretch has frauds to test on and frauds known before.
    """
    at, known, fraud = (table.rows[n].to_numpy() for n in ("at_us", "known_us", "fraud"))
    if not len(at) or fraud.all() or not fraud.any():
        had = "no transaction has a known label" if not len(at) else f"all labels say {'fraud' if fraud.any() else 'honest'}"
        raise ModelError(f"there is nothing to learn: {had}", todo="decide on some cases, or wait until labels are known")
    first, last = int(at.min()), int(at.max()) + 1
    edges = [first + (last - first) * (count + n) // (2 * count) for n in range(count + 1)]
    made = [Fold(np.flatnonzero(known < low), np.flatnonzero((at >= low) & (at < high))) for low, high in itertools.pairwise(edges)]
    usable = [f for f in made if fraud[f.train].any() and fraud[f.test].any()]
    if not usable:
        raise ModelError(
            "no later days have frauds that earlier labels could foretell", todo="wait for more labels, or shorten label_delay"
        )
    return usable


def trained(
    declared: FeatureSet, table: Table, settings: Settings, *, recent: Table | None = None, card: dict[str, Any] | None = None
) -> Model:
    """Searches the grid on folds and calibrates on what was scored unseen, then trains on everything.

    The threshold is the one that fills the alert budget on `recent` rows, whose labels are not known yet: the model has not
    seen them, and they are likest to what comes. Without any it is that of the folds. Raises `ModelError` without labels of
    both classes, or when no fold can be judged.
    """
    parts = folds(table, settings.folds)
    best: tuple[float, dict[str, float], int] | None = None
    for parameters in _trials(settings.trials):
        rounds = int(np.median([_rounds(table, fold, parameters, settings.seed) for fold in parts]))
        judged = _unseen(table, parts, parameters, rounds, settings)
        quality = float(np.mean([average_precision(table.fraud[f.test], margin) for f, margin in judged]))
        if best is None or quality > best[0]:
            best = quality, parameters, rounds
    assert best is not None
    _, parameters, wanted = best
    at = np.concatenate([f.test for f in parts])
    margin = np.concatenate([m for _, m in _unseen(table, parts, parameters, wanted, settings)])
    fraud = table.fraud[at]
    calibration = Calibration.fitted(margin, fraud)
    probability = calibration.probability(margin)
    unseen = table.rows[at].with_columns(score=pl.Series(probability))
    everything = np.arange(len(table.fraud))
    booster = xgb.train(_parameters(table.fraud, parameters, settings.seed), _data(table, everything), wanted)
    said = margin
    if recent is not None and recent.rows.height:
        said = booster.predict(_data(recent, np.arange(recent.rows.height)), output_margin=True).astype(np.float64)
        unseen = recent.rows.with_columns(score=pl.Series(calibration.probability(said)))
    # What is no likelier than any transaction is not suspicious, however few there are to look at.
    threshold = max(threshold_for(unseen, settings.alerts_per_day), float(table.fraud.mean()))
    honest = table.values[~table.fraud]
    usual = {n: float(v) for n, v in zip(declared.names, _medians(honest), strict=True)}
    told = _card(table, settings, parameters, wanted, at, probability, threshold) | _bins(declared, table, said)
    return Model(bytes(booster.save_raw("ubj")), declared.names, declared.hash, calibration, threshold, usual, told | (card or {}))


def _trials(budget: int) -> list[dict[str, float]]:
    every = [dict(zip(_GRID, values, strict=True)) for values in itertools.product(*_GRID.values())]
    return every[:budget]


def _parameters(fraud: Bools, told: dict[str, float], seed: int) -> dict[str, Any]:
    honest_per_fraud = (len(fraud) - fraud.sum()) / max(1, fraud.sum())
    return {
        "objective": "binary:logistic", "tree_method": "hist", "base_score": 0.5, "max_depth": int(told["max_depth"]),
        "eta": told["eta"], "min_child_weight": told["min_child_weight"], "subsample": 0.8, "colsample_bytree": 0.6,
        "reg_lambda": 3.0, "scale_pos_weight": float(honest_per_fraud ** told["scale"]) if told["scale"] < 1 else 1.0,
        "seed": seed, "nthread": THREADS, "eval_metric": "logloss",
    }  # fmt: skip


def _data(table: Table, at: NDArray[np.intp]) -> xgb.DMatrix:
    return xgb.DMatrix(table.values[at], table.fraud[at], nthread=THREADS)


def _rounds(table: Table, fold: Fold, told: dict[str, float], seed: int) -> int:
    """How many rounds are enough, as seen on the last stretch of a fold's training rows."""
    cut = int(len(fold.train) * (1 - _STOPPING_SHARE))
    early, late = fold.train[:cut], fold.train[cut:]
    if not table.fraud[early].any() or not table.fraud[late].any():
        return _USUAL_ROUNDS
    watched = xgb.train(
        _parameters(table.fraud[early], told, seed), _data(table, early), _MOST_ROUNDS, evals=[(_data(table, late), "later")],
        verbose_eval=False, early_stopping_rounds=_PATIENCE,
    )  # fmt: skip
    return max(_LEAST_ROUNDS, int(watched.best_iteration) + 1)


def _unseen(table: Table, parts: list[Fold], told: dict[str, float], rounds: int, settings: Settings) -> list[tuple[Fold, Floats]]:
    """Each fold's margins of its test rows. All folds take as many rounds, as the model itself will: margins then compare."""
    found = []
    for fold in parts:
        booster = xgb.train(_parameters(table.fraud[fold.train], told, settings.seed), _data(table, fold.train), rounds)
        found.append((fold, booster.predict(_data(table, fold.test), output_margin=True).astype(np.float64)))
    return found


def threshold_for(scored: pl.DataFrame, alerts_per_day: int) -> float:
    """The least score that alerts no more parties a day, on average, than can be looked at."""
    days = scored["day"].n_unique()
    per_party = scored.group_by("day", "party").agg(pl.col("score").max())["score"].sort(descending=True)
    allowed = min(alerts_per_day * days, len(per_party))
    return float(per_party[allowed - 1]) if allowed else 1.0


def _medians(values: NDArray[np.float32]) -> Floats:
    told = [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in values.T]
    return np.array(told, dtype=np.float64)


def _card(
    table: Table, settings: Settings, parameters: dict[str, float], rounds: int, at: NDArray[np.intp], probability: Floats,
    threshold: float,
) -> dict[str, Any]:  # fmt: skip
    fraud, unseen = table.fraud[at], table.rows[at].with_columns(score=pl.Series(probability))
    alerted = (pl.col("score") >= threshold).sum()
    by_type = unseen.filter("fraud").group_by("type").agg(transactions=pl.len(), alerted=alerted).sort("type")
    days = table.rows["day"]
    card: dict[str, Any] = {
        "transactions": table.rows.height, "frauds": int(table.fraud.sum()), "from": str(days.min()), "to": str(days.max()),
        "seed": settings.seed, "threads": THREADS, "rounds": rounds, "parameters": parameters, "xgboost": xgb.__version__,
        "alerts_per_day": settings.alerts_per_day, "label_delay_us": settings.label_delay_us,
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
        card["blind_spots"] += [f"{t}: none of it was alerted on later days" for t in missed]
    return card


def _bins(declared: FeatureSet, table: Table, margin: Floats) -> dict[str, Any]:
    """Edges of ten bins of each feature and of unseen margins, and their shares: what drift is measured against."""
    bins = {n: reference(table.values[:, i]) for i, n in enumerate(declared.names)}
    return {"reference": bins | {MARGIN: reference(margin.astype(np.float32))}}
