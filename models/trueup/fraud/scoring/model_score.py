"""Compute margin, calibrated probability and reasons from features; each row is independent of the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.fraud.scoring.model import Model, ModelError, matrix, threads_for
from trueup.fraud.scoring.reason_text import sentence

if TYPE_CHECKING:
    import xgboost as xgb

_REASONS = 5
_SUMS_TO = 1e-4
_ROWS_AT_ONCE = 32_768
_NO_FEATURE = "no single feature raises the score; it only ranks above other transactions"
Floats = NDArray[np.float64]


def margins(booster: xgb.Booster, values: NDArray[np.float32]) -> Floats:
    """Return the margin of each row of a feature matrix."""
    if not len(values):
        return np.zeros(0)
    booster.set_param({"nthread": threads_for(len(values))})
    margin: Floats = booster.inplace_predict(values, predict_type="margin").astype(np.float64)
    return margin


def margins_of(booster: xgb.Booster, features: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    """Return the margin of each row of features, in blocks of rows that limit the memory of their matrix."""
    starts = range(0, features.height, _ROWS_AT_ONCE)
    parts = [margins(booster, matrix(features.slice(start, _ROWS_AT_ONCE), names)) for start in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def score_features(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> pl.DataFrame:
    """Return one row per row of features: `event_id`, `margin`, `probability` and `suspicious`."""
    margin = margins_of(booster or model.booster(), features, model.feature_names)
    probability = model.calibration.probability(margin)
    return features.select("event_id").with_columns(
        margin=pl.Series(margin, dtype=pl.Float64),
        probability=pl.Series(probability, dtype=pl.Float64),
        suspicious=pl.Series(probability >= model.threshold, dtype=pl.Boolean),
    )


def contributions(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> NDArray[np.float64]:
    """Return what each feature adds to each row's margin (TreeSHAP), and in the last column the base of all rows.

    Raises `ModelError` where the contributions do not sum to the margin.
    """
    used, values = booster or model.booster(), matrix(features, model.feature_names)
    if not len(values):
        return np.zeros((0, len(model.feature_names) + 1))
    import xgboost as xgb

    used.set_param({"nthread": threads_for(len(values))})
    added = used.predict(xgb.DMatrix(values, nthread=threads_for(len(values))), pred_contribs=True).astype(np.float64)
    off = np.abs(added.sum(axis=1) - margins(used, values)).max()
    if off > _SUMS_TO:
        raise ModelError(f"reasons differ from the margin by {off:.6f}", where=model.model_id, todo="train the model again")
    return added


def with_reasons(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> pl.DataFrame:
    """Return one row per row of features: `event_id` and `reasons`.

    `reasons` is JSON with the contribution of each feature to the margin, and sentences for the greatest five.
    """
    added = contributions(model, features, booster=booster)
    texts = [
        _reasons(model, row, values) for row, values in zip(added, features.select(model.feature_names).iter_rows(), strict=True)
    ]
    return features.select("event_id").with_columns(reasons=pl.Series(texts, dtype=pl.String))


def _reasons(model: Model, added: NDArray[np.float64], values: tuple[object, ...]) -> str:
    names = model.feature_names
    greatest = sorted((i for i in range(len(names)) if added[i] > 0), key=lambda i: (-added[i], i))[:_REASONS]
    sentences = [sentence(names[i], values[i], model.usual.get(names[i])) for i in greatest] or [_NO_FEATURE]
    adds = {names[i]: round(float(added[i]), 6) for i in np.flatnonzero(added[:-1])}
    return json.dumps({"sentences": sentences, "base": round(float(added[-1]), 6), "adds": adds}, separators=(",", ":"))
