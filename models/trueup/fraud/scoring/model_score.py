"""From features to a judgement: margin, calibrated probability, and reasons for what is reported. One row never sways another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.fraud.scoring.model import THREADS, Model, ModelError, matrix
from trueup.fraud.scoring.reason_text import sentence

if TYPE_CHECKING:
    import xgboost as xgb

_REASONS = 5
_SUMS_TO = 1e-4
_ROWS_AT_ONCE = 32_768
_NOTHING = "nothing speaks for fraud by itself; it only ranks before others"
Floats = NDArray[np.float64]


def margins(booster: xgb.Booster, values: NDArray[np.float32]) -> Floats:
    """The margin of each row of a feature matrix."""
    if not len(values):
        return np.zeros(0)
    told: Floats = booster.inplace_predict(values, predict_type="margin").astype(np.float64)
    return told


def margins_of(booster: xgb.Booster, features: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    """The margin of each row of features, a matrix of some rows at a time: none is ever whole in memory."""
    starts = range(0, features.height, _ROWS_AT_ONCE)
    parts = [margins(booster, matrix(features.slice(start, _ROWS_AT_ONCE), names)) for start in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def scored(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> pl.DataFrame:
    """`event_id`, `margin` and `probability` of each row of features, and whether it is `suspicious`."""
    margin = margins_of(booster or model.booster(), features, model.feature_names)
    probability = model.calibration.probability(margin)
    return features.select("event_id").with_columns(
        margin=pl.Series(margin, dtype=pl.Float64),
        probability=pl.Series(probability, dtype=pl.Float64),
        suspicious=pl.Series(probability >= model.threshold, dtype=pl.Boolean),
    )


def contributions(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> NDArray[np.float64]:
    """TreeSHAP: what each feature adds to each row's margin, and last what every row begins with.

    Raises `ModelError` where they do not sum to the margin.
    """
    asked, values = booster or model.booster(), matrix(features, model.feature_names)
    if not len(values):
        return np.zeros((0, len(model.feature_names) + 1))
    import xgboost as xgb

    told = asked.predict(xgb.DMatrix(values, nthread=THREADS), pred_contribs=True).astype(np.float64)
    off = np.abs(told.sum(axis=1) - margins(asked, values)).max()
    if off > _SUMS_TO:
        raise ModelError(f"reasons differ from the margin by {off:.6f}", where=model.model_id, todo="train the model again")
    return told


def with_reasons(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> pl.DataFrame:
    """`event_id` and `reasons` of each row: JSON with what each feature adds to the margin, and sentences of the greatest."""
    told = contributions(model, features, booster=booster)
    texts = [
        _reasons(model, row, values) for row, values in zip(told, features.select(model.feature_names).iter_rows(), strict=True)
    ]
    return features.select("event_id").with_columns(reasons=pl.Series(texts, dtype=pl.String))


def _reasons(model: Model, told: NDArray[np.float64], values: tuple[object, ...]) -> str:
    names = model.feature_names
    greatest = sorted((i for i in range(len(names)) if told[i] > 0), key=lambda i: (-told[i], i))[:_REASONS]
    sentences = [sentence(names[i], values[i], model.usual.get(names[i])) for i in greatest] or [_NOTHING]
    adds = {names[i]: round(float(told[i]), 6) for i in np.flatnonzero(told[:-1])}
    return json.dumps({"sentences": sentences, "base": round(float(told[-1]), 6), "adds": adds}, separators=(",", ":"))
