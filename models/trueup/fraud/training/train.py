"""Train a model on earlier transactions with labels known by then, and set the threshold by the daily budget of cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.scoring.model import Model, threads_for
from trueup.fraud.scoring.reasons import kinds_of
from trueup.fraud.training.budget import threshold_for, with_parties
from trueup.fraud.training.calibrate import Calibration
from trueup.fraud.training.card import Evaluated, card_of
from trueup.fraud.training.cost import ReviewCost, cost_threshold
from trueup.fraud.training.folds import Bools, Floats, Fold, Known, Table, folds, weights_of
from trueup.fraud.training.metrics import average_precision

DAY_US = 86_400_000_000
_GRID: dict[str, tuple[float, ...]] = {"max_depth": (5, 3), "scale": (1.0, 0.5), "eta": (0.1,), "min_child_weight": (5, 1)}
"""Searched in this order up to the number of trials; frauds are weighted by the class ratio to the power `scale`."""
_MOST_ROUNDS, _USUAL_ROUNDS, _LEAST_ROUNDS, _PATIENCE = 300, 100, 30, 25
_STOPPING_SHARE = 0.2
_HIGH = 99


@dataclass(frozen=True)
class Settings:
    """Settings of training. `label_delay_us`: a transaction without a label after this time counts as honest.

    `start` is a model of the same features whose trees the new ones are added to; by default training begins from nothing.
    """

    alerts_per_day: int = 100
    label_delay_us: int = 7 * DAY_US
    folds: int = 3
    trials: int = 6
    seed: int = 0
    review_cost: ReviewCost | None = None
    start: Model | None = None


@dataclass(frozen=True)
class _Trial:
    """One setting of the grid on all folds: the rounds, trees, margins of later transactions, and average precision of each."""

    parameters: dict[str, float]
    rounds: list[int]
    boosters: list[xgb.Booster]
    margins: list[Floats]
    qualities: list[float]

    def quality(self, first: int) -> float:
        """Return the mean average precision on the first folds."""
        return float(np.mean(self.qualities[:first]))


def train_model(
    declared: FeatureSet, table: Table, settings: Settings, *, recent: Table | None = None, card: dict[str, Any] | None = None,
    now_us: int | None = None,
) -> Model:  # fmt: skip
    """Search the grid on folds, calibrate on their later transactions, then train on all rows.

    The threshold fills the budget of cases on the newest transactions, judged by the last fold's trees, which were not trained on
    them. `recent` are the newest transactions without a label. Raises `ModelError` without labels of both classes, or when no
    fold can be tested.
    """
    parts = folds(table, settings.folds, now_us=now_us)
    trials = [_trial(table, parts, parameters, settings) for parameters in _grid(settings.trials)]
    best = _best(trials, len(parts))
    unseen = np.concatenate([f.test for f in parts])
    calibration = Calibration.fitted(np.concatenate(best.margins), table.fraud[unseen])
    owners = [declared.owners[name] for name in declared.names]
    newest, newest_margin = _newest(table, recent, parts[-1], best)
    scored = with_parties(newest, newest_margin, best.boosters[-1], owners)
    scored = scored.with_columns(score=pl.Series(calibration.probability(scored["score"].to_numpy())))
    # A transaction no likelier fraud than the average one is not suspicious, even where the budget allows it.
    limits = {"budget": threshold_for(scored, settings.alerts_per_day), "average": float(table.fraud.mean())}
    cost_facts: dict[str, Any] = {}
    if settings.review_cost is not None:
        cost_facts = _cost_facts(_judged(table, parts, best, calibration, owners), settings.review_cost, limits)
    threshold = max(cost_facts.get("thresholds", limits).values())
    decided = table.rows["decided_us"].is_not_null().to_numpy()
    everything = Known(np.arange(len(table.fraud)), table.fraud, weights_of(decided))
    rounds = int(np.median(best.rounds))
    booster = xgb.train(
        _parameters(table.fraud, best.parameters, settings.seed), _data(table, everything), rounds, xgb_model=_start(settings)
    )
    evaluated = _evaluated(table, parts, trials, owners)
    facts = card_of(declared, table, evaluated, newest_margin, budget=settings.alerts_per_day, seed=settings.seed)
    facts |= {
        "seed": settings.seed, "threads": threads_for(table.rows.height), "rounds": rounds, "parameters": best.parameters,
        "xgboost": xgb.__version__, "alerts_per_day": settings.alerts_per_day, "label_delay_us": settings.label_delay_us,
    }  # fmt: skip
    usual = usual_of(declared.names, table)
    facts |= cost_facts
    return Model(bytes(booster.save_raw("ubj")), declared.names, declared.hash, calibration, threshold, usual, facts | (card or {}))


def _trial(table: Table, parts: Sequence[Fold], parameters: dict[str, float], settings: Settings) -> _Trial:
    """Train one setting on what each fold knew at its cut, and apply it to the transactions after the cut."""
    rounds, boosters, margins, qualities = [], [], [], []
    for fold in parts:
        count = _rounds(table, fold.train, parameters, settings)
        booster = xgb.train(
            _parameters(fold.train.fraud, parameters, settings.seed), _data(table, fold.train), count, xgb_model=_start(settings)
        )
        margin = _margins(booster, table.values[fold.test])
        rounds.append(count)
        boosters.append(booster)
        margins.append(margin)
        qualities.append(average_precision(table.fraud[fold.test], margin))
    return _Trial(parameters, rounds, boosters, margins, qualities)


def _best(trials: Sequence[_Trial], first: int) -> _Trial:
    """Return the best trial on the first folds; of equally good ones the first, and without a fold the first of all."""
    return max(trials, key=lambda t: t.quality(first)) if first else trials[0]


def _evaluated(table: Table, parts: Sequence[Fold], trials: Sequence[_Trial], owners: list[Any]) -> Evaluated:
    """Judge each fold by the setting and calibration that the folds before it choose, so that none reports its own choice.

    With one fold alone nothing is chosen or calibrated: its ranking is that of the first setting of the grid.
    """
    judged, first = [], 1 if len(parts) > 1 else 0
    for number in range(first, len(parts)):
        trial, fold = _best(trials, number), parts[number]
        calibration = Calibration()
        if number:
            before = np.concatenate([f.test for f in parts[:number]])
            calibration = Calibration.fitted(np.concatenate(trial.margins[:number]), table.fraud[before])
        rows = with_parties(table.take(fold.test), trial.margins[number], trial.boosters[number], owners)
        judged.append(rows.with_columns(score=pl.Series(calibration.probability(trial.margins[number]))))
    return Evaluated(pl.concat(judged), is_calibrated=bool(first))


def _judged(table: Table, parts: Sequence[Fold], trial: _Trial, calibration: Calibration, owners: list[Any]) -> pl.DataFrame:
    """Return the transactions of all folds with the party and probability that a setting gives them."""
    judged = []
    for part, margin, booster in zip(parts, trial.margins, trial.boosters, strict=True):
        rows = with_parties(table.take(part.test), margin, booster, owners)
        judged.append(rows.with_columns(score=pl.Series(calibration.probability(margin))))
    return pl.concat(judged)


def _cost_facts(judged: pl.DataFrame, cost: ReviewCost, limits: dict[str, float]) -> dict[str, Any]:
    """Return the facts of the card about the threshold by cost, and all thresholds; the highest is in force."""
    found = cost_threshold(judged, cost)
    facts: dict[str, Any] = {"review_cost_micros": cost.micros, "thresholds": limits}
    if found is None:
        return facts
    saved = {"cases": found.cases, "net_micros": found.net_micros}
    return facts | {"thresholds": limits | {"cost": found.score}, "by_cost": saved}


def _newest(table: Table, recent: Table | None, last: Fold, best: _Trial) -> tuple[Table, Floats]:
    """Return all transactions since the last cut, and the margins that the trees trained before it give them."""
    since = np.flatnonzero((table.rows["at_us"] >= last.cut_us).to_numpy())
    newest = table.take(since)
    if recent is not None and recent.rows.height:
        both = np.concatenate([newest.values, recent.values]), pl.concat([newest.rows, recent.rows])
        newest = Table(*both)
    return newest, _margins(best.boosters[-1], newest.values)


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


def _data(table: Table, known: Known) -> xgb.DMatrix:
    return xgb.DMatrix(table.values[known.at], known.fraud, weight=known.weight, nthread=threads_for(len(known.at)))


def _margins(booster: xgb.Booster, values: NDArray[np.float32]) -> Floats:
    margin: Floats = booster.predict(xgb.DMatrix(values, nthread=threads_for(len(values))), output_margin=True).astype(np.float64)
    return margin


def _start(settings: Settings) -> xgb.Booster | None:
    return None if settings.start is None else settings.start.booster()


def _rounds(table: Table, known: Known, parameters: dict[str, float], settings: Settings) -> int:
    """Return the number of rounds that early stopping finds on the last part of the known rows."""
    cut = int(len(known.at) * (1 - _STOPPING_SHARE))
    early, late = (Known(known.at[s], known.fraud[s], known.weight[s]) for s in (slice(None, cut), slice(cut, None)))
    if not early.fraud.any() or not late.fraud.any():
        return _USUAL_ROUNDS
    start = _start(settings)
    watched = xgb.train(
        _parameters(early.fraud, parameters, settings.seed), _data(table, early), _MOST_ROUNDS,
        evals=[(_data(table, late), "later")], verbose_eval=False, early_stopping_rounds=_PATIENCE, xgb_model=start,
    )  # fmt: skip
    # The trees that training began with are no new rounds.
    before = 0 if start is None else start.num_boosted_rounds()
    return max(_LEAST_ROUNDS, int(watched.best_iteration) + 1 - before)


def usual_of(names: Sequence[str], table: Table) -> dict[str, dict[str, list[float]]]:
    """Return the median and the 99th percentile of each feature over honest transactions of each kind."""
    honest = table.values[~table.fraud]
    kinds = kinds_of(names, honest)
    return {kind: _usual(names, honest[kinds == kind]) for kind in sorted(set(kinds.tolist()))}


def _usual(names: Sequence[str], values: NDArray[np.float32]) -> dict[str, list[float]]:
    usual = {}
    for name, column in zip(names, values.T, strict=True):
        present = column[~np.isnan(column)]
        if len(present):
            usual[name] = [float(v) for v in np.percentile(present.astype(np.float64), [50, _HIGH], method="inverted_cdf")]
    return usual
