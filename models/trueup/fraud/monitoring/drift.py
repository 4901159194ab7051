"""Drift: how far what is scored today differs from what the model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
MARGIN = "(margin)"
"""What a model says, among the features it says it of."""
WATCH, ALARM = 0.1, 0.25
"""Customary bounds of the population stability index: worth watching, worth training again."""
_LEAST_SHARE = 1e-4


def reference(values: NDArray[np.float32]) -> dict[str, Any]:
    """Inner edges of up to ten bins of about equal content, and the share of rows in each; the last is of missing values."""
    there = values[~np.isnan(values)].astype(np.float64)
    inner = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")) if len(there) else np.array([])
    edges = [float(e) for e in inner]
    return {"edges": edges, "shares": [float(s) for s in _shares(counts(values, edges))]}


def counts(values: NDArray[np.float32], edges: list[float]) -> NDArray[np.int64]:
    """How many values are in each bin, a bin holding its upper edge; those missing come last."""
    missing = int(np.isnan(values).sum())
    # Edges are of this precision themselves. What exceeds the last of them is in no bin below; nothing exceeds a missing value.
    above = [int((values > edge).sum()) for edge in np.array(edges, dtype=np.float32)]
    beyond = np.array([len(values) - missing, *above, 0])
    return np.append(beyond[:-1] - beyond[1:], missing).astype(np.int64)


def _shares(found: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = found / max(1, int(found.sum()))
    return shares


def psi(shares: list[float], found: NDArray[np.int64]) -> float:
    """The population stability index of counts against reference shares: 0 for the same distribution."""
    expected = np.maximum(np.array(shares), _LEAST_SHARE)
    actual = np.maximum(_shares(found), _LEAST_SHARE)
    return float(np.sum((actual - expected) * np.log(actual / expected)))
