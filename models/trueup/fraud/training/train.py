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
from trueup.fraud.training.budget import NEVER, Room, room_for_model, threshold_for, with_parties
from trueup.fraud.training.calibrate import Calibration
from trueup.fraud.training.card import Evaluated, card_of
from trueup.fraud.training.cost import ReviewCost, cost_threshold
from trueup.fraud.training.cross_fit import cross_fitted
from trueup.fraud.training.folds import Bools, Floats, Fold, Known, Table, folds, weights_of
from trueup.fraud.training.metrics import average_precision
from trueup.fraud.training.time_span import time_span

DAY_US = 86_400_000_000
_GRID: dict[str, tuple[float, ...]] = {"max_depth": (5, 3), "scale": (1.0, 0.5), "eta": (0.1,), "min_child_weight": (5, 1)}
"""Parameter sets in the order of trial; the weight of frauds is the class ratio to the power `scale`."""
_MOST_ROUNDS, _USUAL_ROUNDS, _LEAST_ROUNDS, _PATIENCE = 300, 100, 30, 25
_STOPPING_SHARE = 0.2
_NAMED_RULES = 3
_NEWEST_US = 14 * DAY_US
"""The time before the newest transaction in which cases per day are counted."""
_SILENT = "at its threshold it raises no case: too many cases share its highest score"
_FULL = "rules alone use the budget, so only a score above all of the newest days raises a case of its own"
_HIGH = 99


@dataclass(frozen=True)
class Settings:
    """Settings of training. `label_delay_us`: a transaction without a label after this time counts as honest.

    `start` is a model of the same features to whose trees the new ones are added; by default training begins without trees. `taken`
    (day, party, rule) are the cases that rules raise anyway; the model gets what they leave of the budget.
    """

    alerts_per_day: int = 100
    label_delay_us: int = 7 * DAY_US
    folds: int = 3
    trials: int = 6
    seed: int = 0
    review_cost: ReviewCost | None = None
    start: Model | None = None
    taken: pl.DataFrame | None = None


@dataclass(frozen=True)
class _Trial:
    """One setting of the grid: for each fold its rounds, trees, margins of later transactions, and average precision."""

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
    """Search the grid on folds, then train on all rows; set calibration and threshold on scores of comparable trees.

    The threshold is the lowest at which cases among the newest transactions fit the budget; `recent` are those without a label.
    Raises `ModelError` without labels of both classes, or when no fold can be tested.
    """
    parts = folds(table, settings.folds, now_us=now_us)
    trials = [_try_parameters(table, parts, parameters, settings) for parameters in _list_grid(settings.trials)]
    best = _select_best(trials, len(parts))
    owners = [declared.owners[name] for name in declared.names]
    rounds = int(np.median(best.rounds))

    def trained(known: Known) -> xgb.Booster:
        parameters = _complete_parameters(known.fraud, best.parameters, settings.seed)
        return xgb.train(parameters, _build_matrix(table, known), rounds, xgb_model=_start(settings))

    unseen = cross_fitted(table, recent, trained, owners, budget=settings.alerts_per_day)
    if unseen is None:
        unseen = _by_folds(table, recent, parts, best, owners)
    calibration = _calibrate(unseen)
    unseen = unseen.with_columns(score=pl.Series(calibration.probability(unseen["score"].to_numpy())))
    newest = unseen.filter(pl.Series(_is_newest(unseen["at_us"])))
    # A transaction that is no more likely a fraud than the average one is not suspicious, even if the budget allows it.
    limits = {
        "budget": threshold_for(newest, settings.alerts_per_day, settings.taken), "average": float(table.fraud.mean()),
    }  # fmt: skip
    cost_facts: dict[str, Any] = {}
    if settings.review_cost is not None:
        cost_facts = _describe_cost(unseen.filter("is_known"), settings.review_cost, limits)
    threshold = max(cost_facts.get("thresholds", limits).values())
    decided = table.rows["decided_us"].is_not_null().to_numpy()
    booster = trained(Known(np.arange(len(table.fraud)), table.fraud, weights_of(decided)))
    evaluated = _evaluate(table, parts, trials, owners)
    # Drift compares margins of the final trees only, because margins of other trees differ without any drift.
    newest_margin = _predict_newest_margin(booster, table, recent)
    facts = card_of(declared, table, evaluated, newest_margin, budget=settings.alerts_per_day, seed=settings.seed)
    if settings.taken is not None:
        facts |= _describe_budget(room_for_model(newest, settings.alerts_per_day, settings.taken), facts["blind_spots"])
    if limits["budget"] == NEVER:
        facts["blind_spots"].append(_SILENT)
    facts |= {
        "seed": settings.seed, "threads": threads_for(table.rows.height), "rounds": rounds, "parameters": best.parameters,
        "xgboost": xgb.__version__, "alerts_per_day": settings.alerts_per_day, "label_delay_us": settings.label_delay_us,
    }  # fmt: skip
    usual = usual_of(declared.names, table)
    facts |= cost_facts
    return Model(bytes(booster.save_raw("ubj")), declared.names, declared.hash, calibration, threshold, usual, facts | (card or {}))


def _describe_budget(room: Room, blind_spots: list[str]) -> dict[str, Any]:
    """Return the card's facts about the days on which the budget was counted; add a blind spot where rules leave nothing."""
    if not room.left:
        most = ", ".join(f"{rule} {cases / room.days:.1f} a day" for rule, cases in list(room.cases_of_rule.items())[:_NAMED_RULES])
        blind_spots.append(f"{_FULL} ({most})")
    return {"budget": {"days": room.days, "cases_of_rules": room.by_rules, "left_for_the_model": room.left}}


def _calibrate(unseen: pl.DataFrame) -> Calibration:
    known = unseen.filter("is_known")
    return Calibration.fitted(known["score"].to_numpy(), known["fraud"].to_numpy())


def _is_newest(at_us: pl.Series) -> Bools:
    """Return a mask of the transactions of the last two weeks, without transactions that a wrong clock stamped."""
    at = at_us.to_numpy()
    last_us = time_span(at)[1]
    newest: Bools = (at > last_us - _NEWEST_US) & (at <= last_us)
    return newest


def _predict_newest_margin(booster: xgb.Booster, table: Table, recent: Table | None) -> Floats:
    parts = [table] if recent is None else [table, recent]
    is_newest = _is_newest(pl.concat([part.rows["at_us"] for part in parts]))
    return _predict_margins(booster, np.concatenate([part.values for part in parts])[is_newest])


def _try_parameters(table: Table, parts: Sequence[Fold], parameters: dict[str, float], settings: Settings) -> _Trial:
    """Train one setting on the labels known at each fold's cut, and apply it to the transactions after the cut."""
    rounds, boosters, margins, qualities = [], [], [], []
    for fold in parts:
        count = _find_rounds(table, fold.train, parameters, settings)
        booster = xgb.train(
            _complete_parameters(fold.train.fraud, parameters, settings.seed),
            _build_matrix(table, fold.train),
            count,
            xgb_model=_start(settings),
        )
        margin = _predict_margins(booster, table.values[fold.test])
        rounds.append(count)
        boosters.append(booster)
        margins.append(margin)
        qualities.append(average_precision(table.fraud[fold.test], margin))
    return _Trial(parameters, rounds, boosters, margins, qualities)


def _select_best(trials: Sequence[_Trial], first: int) -> _Trial:
    """Return the best trial on the first folds; the first among equally good trials, and the first of all without folds."""
    return max(trials, key=lambda t: t.quality(first)) if first else trials[0]


def _evaluate(table: Table, parts: Sequence[Fold], trials: Sequence[_Trial], owners: list[Any]) -> Evaluated:
    """Judge each fold by the parameters and calibration that earlier folds chose, so that no fold judges its own choice.

    A single fold has no earlier fold, so it is ranked by the first parameters of the grid, without calibration.
    """
    judged, first = [], 1 if len(parts) > 1 else 0
    for number in range(first, len(parts)):
        trial, fold = _select_best(trials, number), parts[number]
        calibration = Calibration()
        if number:
            before = np.concatenate([f.test for f in parts[:number]])
            calibration = Calibration.fitted(np.concatenate(trial.margins[:number]), table.fraud[before])
        rows = with_parties(table.take(fold.test), trial.margins[number], trial.boosters[number], owners)
        judged.append(rows.with_columns(score=pl.Series(calibration.probability(trial.margins[number]))))
    return Evaluated(pl.concat(judged), is_calibrated=bool(first))


def _describe_cost(judged: pl.DataFrame, cost: ReviewCost, limits: dict[str, float]) -> dict[str, Any]:
    """Return the card's facts about the threshold by cost, and all thresholds; the highest threshold is in force."""
    found = cost_threshold(judged, cost)
    facts: dict[str, Any] = {"review_cost_micros": cost.micros, "thresholds": limits}
    if found is None:
        return facts
    saved = {"cases": found.cases, "net_micros": found.net_micros}
    return facts | {"thresholds": limits | {"cost": found.score}, "by_cost": saved}


def _by_folds(table: Table, recent: Table | None, parts: Sequence[Fold], best: _Trial, owners: list[Any]) -> pl.DataFrame:
    """Return transactions since the first cut, each scored by the trees of its fold; without a label, by the last fold's trees."""
    scored = [
        with_parties(table.take(fold.test), margin, booster, owners)
        for fold, margin, booster in zip(parts, best.margins, best.boosters, strict=True)
    ]
    known = pl.concat(scored).with_columns(is_known=pl.lit(value=True))
    since_cut = np.flatnonzero((table.rows["at_us"] >= parts[-1].cut_us).to_numpy())
    later = table.take(np.setdiff1d(since_cut, np.concatenate([fold.test for fold in parts])))
    if recent is not None:
        later = Table(np.concatenate([later.values, recent.values]), pl.concat([later.rows, recent.rows]))
    newest = with_parties(later, _predict_margins(best.boosters[-1], later.values), best.boosters[-1], owners)
    return pl.concat([known, newest.with_columns(is_known=pl.lit(value=False))])


def _list_grid(budget: int) -> list[dict[str, float]]:
    every = [dict(zip(_GRID, values, strict=True)) for values in itertools.product(*_GRID.values())]
    return every[:budget]


def _complete_parameters(fraud: Bools, parameters: dict[str, float], seed: int) -> dict[str, Any]:
    honest_per_fraud = (len(fraud) - fraud.sum()) / max(1, fraud.sum())
    return {
        "objective": "binary:logistic", "tree_method": "hist", "base_score": 0.5, "max_depth": int(parameters["max_depth"]),
        "eta": parameters["eta"], "min_child_weight": parameters["min_child_weight"], "subsample": 0.8, "colsample_bytree": 0.6,
        "reg_lambda": 3.0, "scale_pos_weight": float(honest_per_fraud ** parameters["scale"]) if parameters["scale"] < 1 else 1.0,
        "seed": seed, "nthread": threads_for(len(fraud)), "eval_metric": "logloss",
    }  # fmt: skip


def _build_matrix(table: Table, known: Known) -> xgb.DMatrix:
    return xgb.DMatrix(table.values[known.at], known.fraud, weight=known.weight, nthread=threads_for(len(known.at)))


def _predict_margins(booster: xgb.Booster, values: NDArray[np.float32]) -> Floats:
    margin: Floats = booster.predict(xgb.DMatrix(values, nthread=threads_for(len(values))), output_margin=True).astype(np.float64)
    return margin


def _start(settings: Settings) -> xgb.Booster | None:
    return None if settings.start is None else settings.start.booster()


def _find_rounds(table: Table, known: Known, parameters: dict[str, float], settings: Settings) -> int:
    """Return the number of rounds that early stopping finds on the last part of the known rows."""
    cut = int(len(known.at) * (1 - _STOPPING_SHARE))
    early, late = (Known(known.at[s], known.fraud[s], known.weight[s]) for s in (slice(None, cut), slice(cut, None)))
    if not early.fraud.any() or not late.fraud.any():
        return _USUAL_ROUNDS
    start = _start(settings)
    watched = xgb.train(
        _complete_parameters(early.fraud, parameters, settings.seed), _build_matrix(table, early), _MOST_ROUNDS,
        evals=[(_build_matrix(table, late), "later")], verbose_eval=False, early_stopping_rounds=_PATIENCE, xgb_model=start,
    )  # fmt: skip
    # The trees of the start model do not count as rounds.
    before = 0 if start is None else start.num_boosted_rounds()
    return max(_LEAST_ROUNDS, int(watched.best_iteration) + 1 - before)


def usual_of(names: Sequence[str], table: Table) -> dict[str, dict[str, list[float]]]:
    """Return the median and the 99th percentile of each feature over honest transactions of each kind."""
    honest = table.values[~table.fraud]
    kinds = kinds_of(names, honest)
    return {kind: _find_usual(names, honest[kinds == kind]) for kind in sorted(set(kinds.tolist()))}


def _find_usual(names: Sequence[str], values: NDArray[np.float32]) -> dict[str, list[float]]:
    usual = {}
    for name, column in zip(names, values.T, strict=True):
        present = column[~np.isnan(column)]
        if len(present):
            usual[name] = [float(v) for v in np.percentile(present.astype(np.float64), [50, _HIGH], method="inverted_cdf")]
    return usual
