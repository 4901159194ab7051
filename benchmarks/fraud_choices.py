"""Measure two choices of training on simulated operators: the weight of undecided transactions, and where training begins.

    python benchmarks/fraud_choices.py FOLDER

Protocol. Operators of three weeks or longer: the weight is measured on those of `TRAIN` in `benchmarks/fraud_telecom.py`. The
starter was trained on them, so the begin of training is measured on `OTHERS`, which have other seeds. Two weeks of detectors with
BUDGET right decisions a day are the labels. The operator's own model is judged by the truth on all later days. The measures are
average precision, and the share of frauds among the BUDGET parties of each day.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import xgboost as xgb
from fraud_telecom import (
    LABEL_DELAY_US,
    LEARNING_DAYS,
    STARTER,
    TRAIN,
    Operator,
    alerts_by_rules,
    operator,
    reviewed,
    training_table,
)

from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model, load_model
from trueup.fraud.scoring.model_score import margins
from trueup.fraud.training import folds
from trueup.fraud.training.folds import Known, Table, known_at
from trueup.fraud.training.metrics import average_precision, party_precision
from trueup.fraud.training.train import DAY_US, Settings, train_model

OTHERS = ("301-350-21", "302-600-28", "303-200-24", "306-200-21", "307-350-28", "308-600-24")
WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)
BUDGET = 5
ROUNDS = 60
Score = Callable[[np.ndarray], np.ndarray]


def decided_table(one: Operator) -> tuple[Table, Table, int]:
    """Return what is known after two weeks of decisions, the later transactions with their truth, and the instant."""
    end_us = int(one.events["at_us"].min()) + LEARNING_DAYS * DAY_US  # type: ignore[arg-type]
    alerts = alerts_by_rules(one)
    decided = reviewed(alerts.filter(pl.col("at_us") < end_us), BUDGET)["event_id"].unique()
    table = training_table(one)
    is_decided = pl.col("event_id").is_in(decided.implode())
    rows = table.rows.with_columns(
        fraud=pl.col("fraud") & is_decided, decided_us=pl.when(is_decided).then(pl.min_horizontal(pl.col("at_us") + DAY_US, end_us))
    )
    known = (rows["decided_us"].is_not_null() | (rows["honest_us"] <= end_us)) & (rows["at_us"] < end_us)
    at, later = np.flatnonzero(known.to_numpy()), np.flatnonzero((table.rows["at_us"] >= end_us).to_numpy())
    return Table(table.values[at], rows[at]), table.take(later), end_us


def judged(later: Table, score: np.ndarray) -> tuple[float, float]:
    rows = later.rows.with_columns(score=pl.Series(score))
    return average_precision(later.fraud, score), party_precision(rows, budget=BUDGET)


def own_model(known: Table, end_us: int, start: Model | None = None) -> Model:
    settings = Settings(alerts_per_day=BUDGET, label_delay_us=LABEL_DELAY_US, trials=1, start=start)
    return train_model(telecom_features(), known, settings, now_us=end_us)


def scorer(model: Model) -> Score:
    booster = model.booster()
    return lambda values: margins(booster, values)


def by_margin(known: Table, end_us: int, starter: Model) -> Score:
    """Return the score of trees that are trained on top of the starter's margin, scaled as its calibration says."""

    def base(values: np.ndarray) -> np.ndarray:
        return starter.calibration.slope * margins(starter.booster(), values) + starter.calibration.shift

    of = known_at(known, end_us)
    known_of = Known(of.at, of.fraud, of.weight)
    data = xgb.DMatrix(known.values[known_of.at], known_of.fraud, weight=known_of.weight)
    data.set_base_margin(base(known.values[known_of.at]))
    parameters = {
        "objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "eta": 0.1, "min_child_weight": 5, "subsample": 0.8,
        "colsample_bytree": 0.6, "reg_lambda": 3.0, "seed": 0, "nthread": 2,
    }  # fmt: skip
    booster = xgb.train(parameters, data, ROUNDS)

    def score(values: np.ndarray) -> np.ndarray:
        asked = xgb.DMatrix(values)
        asked.set_base_margin(base(values))
        return booster.predict(asked, output_margin=True).astype(np.float64)

    return score


def weak_weights(folder: Path) -> None:
    """Print the quality at each weight of an undecided transaction."""
    usual, found = folds.WEAK_WEIGHT, dict[float, list[tuple[float, float]]]()
    for name in TRAIN:
        if int(name.rpartition("-")[2]) < LEARNING_DAYS + 7:
            continue
        known, later, end_us = decided_table(operator(folder, name))
        for weight in WEIGHTS:
            folds.WEAK_WEIGHT = weight
            model = own_model(known, end_us)
            found.setdefault(weight, []).append(judged(later, margins(model.booster(), later.values)))
    folds.WEAK_WEIGHT = usual
    for weight, results in found.items():
        show(f"weight {weight}", results)


def starts(folder: Path) -> None:
    """Print the quality of the starter alone, of an own model from nothing, and of the two ways to train on top of the starter."""
    starter, found = load_model(STARTER, telecom_features()), dict[str, list[tuple[float, float]]]()
    for name in OTHERS:
        if int(name.rpartition("-")[2]) < LEARNING_DAYS + 7:
            continue
        known, later, end_us = decided_table(operator(folder, name))
        ways = {
            "starter alone": scorer(starter),
            "own, from nothing": scorer(own_model(known, end_us)),
            "own, trees added to the starter's": scorer(own_model(known, end_us, starter)),
            "own, on the starter's calibrated margin": by_margin(known, end_us, starter),
        }
        for way, score in ways.items():
            found.setdefault(way, []).append(judged(later, score(later.values)))
    for way, results in found.items():
        show(way, results)


def show(title: str, results: list[tuple[float, float]]) -> None:
    each = " ".join(f"{ap:.3f}" for ap, _ in results)
    print(f"{title:<42} AP {np.mean([ap for ap, _ in results]):.3f}  precision at {BUDGET} a day "
          f"{np.mean([p for _, p in results]):.3f}   AP of each operator {each}", flush=True)  # fmt: skip


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    begun, folder = time.process_time(), Path(sys.argv[1])
    weak_weights(folder)
    starts(folder)
    print(f"{time.process_time() - begun:.0f} s of processor")


if __name__ == "__main__":
    main()
