"""Find features that repeat the label: a model that uses them is worthless, because their values are known only afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trueup.fraud.training.folds import Table
from trueup.fraud.training.metrics import auc_roc

_LEAST_FRAUDS = 5
"""Minimum number of frauds: a feature may separate fewer frauds by chance."""


def leaking(names: Sequence[str], table: Table) -> dict[str, str]:
    """Return the features that separate all labelled frauds from all labelled honest rows, each with the separating condition."""
    labelled = table.rows["decided_us"].is_not_null().to_numpy()
    fraud = table.fraud[labelled]
    if fraud.sum() < _LEAST_FRAUDS or (~fraud).sum() < _LEAST_FRAUDS:
        return {}
    found = {name: _describe_leak(table.values[labelled, i].astype(np.float64), fraud) for i, name in enumerate(names)}
    return {name: how for name, how in found.items() if how is not None}


def _describe_leak(values: NDArray[np.float64], fraud: NDArray[np.bool_]) -> str | None:
    missing = np.isnan(values)
    if missing.any() and ((missing == fraud).all() or (missing != fraud).all()):
        return "is missing for one class and present for the other"
    if missing.any() or not (values.max() > values.min()):
        return None
    if ((values == 1) == fraud).all() and np.isin(values, (0, 1)).all():
        return "equals the label"
    return "separates all frauds from all honest rows" if auc_roc(fraud, values) in (0.0, 1.0) else None
