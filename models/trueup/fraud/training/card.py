"""Describe a new model: its quality on later days, by kind of fraud, and its blind spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.monitoring.drift import MARGIN, reference
from trueup.fraud.training.calibrate import calibration_error
from trueup.fraud.training.folds import Floats, Table
from trueup.fraud.training.metrics import (
    auc_roc,
    average_precision,
    day_intervals,
    party_precision,
    reviewed_cases,
    value_detected_ratio,
)

BLIND_SPOTS = (
    "a party's first fraudulent transactions, before they differ from its usual ones",
    "kinds of fraud without any label yet",
    "frauds whose labels come later than the label delay: they count as honest",
    "events outside the collected records: applications, payments, handsets sold",
)
_LEAST_RECALL = 0.5
_NAMED = 5


@dataclass(frozen=True)
class Evaluated:
    """Transactions with scores chosen and calibrated only on earlier ones: `day`, `party`, `fraud`, `type`, `score`."""

    rows: pl.DataFrame
    is_calibrated: bool


def recall_by_type(rows: pl.DataFrame, budget: int) -> list[dict[str, Any]]:
    """Return, by kind of fraud, all transactions and those in a case within the daily budget, the worst kind first."""
    reviewed = reviewed_cases(rows, budget=budget).with_columns(within=pl.lit(value=True))
    frauds = rows.filter("fraud").join(reviewed, on=["day", "party"], how="left")
    counted = frauds.group_by("type").agg(transactions=pl.len(), alerted=pl.col("within").fill_null(value=False).sum())
    return counted.sort(pl.col("alerted") / pl.col("transactions"), "type").to_dicts()


def card_of(
    declared: FeatureSet, table: Table, evaluated: Evaluated, newest_margin: Floats, *, budget: int, seed: int
) -> dict[str, Any]:
    """Return the facts of a card: data, measures with intervals over days, kinds, reliability, blind spots, reference of drift."""
    rows, days = evaluated.rows, table.rows["day"]
    fraud, score = rows["fraud"].to_numpy(), rows["score"].to_numpy()
    card: dict[str, Any] = {
        "transactions": table.rows.height, "frauds": int(table.fraud.sum()), "from": str(days.min()), "to": str(days.max()),
        "decided": int(table.rows["decided_us"].is_not_null().sum()),
        "metrics": {
            "average_precision": average_precision(fraud, score), "auc": auc_roc(fraud, score),
            "precision_at_budget": party_precision(rows, budget=budget),
        },
        "intervals": day_intervals(rows, budget=budget, seed=seed),
        "evaluated": {"from": str(rows["day"].min()), "to": str(rows["day"].max()), "frauds": int(fraud.sum())},
        "reliability": calibration_error(score, fraud) if evaluated.is_calibrated else [],
        "blind_spots": list(BLIND_SPOTS) + _list_constant(declared, table),
    }  # fmt: skip
    detected = value_detected_ratio(rows, budget=budget)
    if detected is not None:
        card["metrics"]["value_detected_ratio"] = detected
    if not evaluated.is_calibrated:
        card["blind_spots"].append("one period alone could be tested: its calibration is not checked on later days")
    by_type = recall_by_type(rows, budget)
    if any(t["type"] is not None for t in by_type):
        card["by_type"] = by_type
        card["blind_spots"] += [
            f"{t['type']}: {t['alerted']} of {t['transactions']} transactions were in a case within the budget, on later days"
            for t in by_type if t["type"] and t["alerted"] < _LEAST_RECALL * t["transactions"]
        ]  # fmt: skip
    bins = {n: reference(table.values[:, i]) for i, n in enumerate(declared.names)}
    return card | {"reference": bins | {MARGIN: reference(newest_margin.astype(np.float32))}}


def _list_constant(declared: FeatureSet, table: Table) -> list[str]:
    """Return the blind spot of features that had a single value in training, which the trees therefore cannot use."""
    constant = [n for n, column in zip(declared.names, table.values.T, strict=True) if _is_constant(column)]
    if not constant:
        return []
    more = f" and {len(constant) - _NAMED} more" if len(constant) > _NAMED else ""
    return [f"features with one value in training, a change of which it does not see: {', '.join(constant[:_NAMED])}{more}"]


def _is_constant(column: np.ndarray[Any, Any]) -> bool:
    present = column[~np.isnan(column)]
    return len(present) == 0 or bool(len(present) == len(column) and (present == present[0]).all())
