"""Compute margin, calibrated probability and reasons from features; each row is independent of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import Owner
from trueup.fraud.scoring.model import Model, ModelError, matrix, threads_for
from trueup.fraud.scoring.reasons import reasons_of

if TYPE_CHECKING:
    import xgboost as xgb

_SUMS_TO = 1e-4
_ROWS_AT_ONCE = 65_536
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


def score_features(
    model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None, threshold: float | None = None
) -> pl.DataFrame:
    """Return `event_id`, `margin`, `probability` and `suspicious` of each row, by a threshold or the model's own."""
    margin = margins_of(booster or model.booster(), features, model.feature_names)
    probability = model.calibration.probability(margin)
    return features.select("event_id").with_columns(
        margin=pl.Series(margin, dtype=pl.Float64),
        probability=pl.Series(probability, dtype=pl.Float64),
        suspicious=pl.Series(probability >= (model.threshold if threshold is None else threshold), dtype=pl.Boolean),
    )


def contributions(model: Model, features: pl.DataFrame, *, booster: xgb.Booster | None = None) -> NDArray[np.float64]:
    """Return the contribution of each feature to each row's margin (TreeSHAP); the last column is the base of all rows.

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


def with_reasons(
    model: Model, features: pl.DataFrame, *, owners: Mapping[str, Owner] | None = None, has_peer: pl.Series | None = None,
    booster: xgb.Booster | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Return one row per row of features and accused end: `event_id`, `party_rank`, `side` and `reasons`.

    `owners` names the party whose behaviour each feature describes. Without owners or a peer, only the subscriber is accused.
    `reasons` is JSON with the contribution of each feature to the margin, up to three sentences, the kind of fraud and what to do.
    """
    added, names = contributions(model, features, booster=booster), model.feature_names
    of = [(owners or {}).get(name, "actor") for name in names]
    peers = [False] * features.height if has_peer is None else has_peer.to_list()
    rows = []
    for (event_id, *values), contributed, peer in zip(features.select("event_id", *names).iter_rows(), added, peers, strict=True):
        row = dict(zip(names, values, strict=True))
        for reasons in reasons_of(names, of, contributed, row, model.usual, has_peer=peer):
            rows.append((event_id, reasons.accusation.rank, reasons.accusation.side, reasons.text))
    schema: dict[str, Any] = {
        "event_id": features.schema["event_id"],
        "party_rank": pl.Int64,
        "side": pl.String,
        "reasons": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
