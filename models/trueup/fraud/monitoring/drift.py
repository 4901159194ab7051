"""Measure drift: the difference between the features of scored transactions and of training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
MARGIN = "(margin)"
"""The name of the model margin among the feature names."""
WATCH, ALARM = 0.1, 0.25
"""Customary bounds of the population stability index: above the first, watch the model; above the second, retrain it."""
_LEAST_SHARE = 1e-4
_BELOW = 1e-6
"""Distance from a feature's only value to the lower edge of its bin, as a share of the value; enough to differ in 32 bits."""


def reference(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return inner edges of up to ten bins of about equal counts, and the share of rows in each; missing values are last.

    A feature with a single value gets a bin for that value, so that later values below or above it show as drift.
    """
    present = values[~np.isnan(values)].astype(np.float64)
    inner = (
        np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")) if len(present) else np.array([])
    )
    if len(inner) == 1 and (present == inner[0]).all():
        inner = np.array([inner[0] - _BELOW * max(1.0, abs(inner[0])), inner[0]])
    edges = [float(e) for e in inner]
    return {"edges": edges, "shares": [float(s) for s in _compute_shares(counts(values, edges))]}


def counts(values: NDArray[np.float32], edges: list[float]) -> NDArray[np.int64]:
    """Count the values in each bin; a bin includes its upper edge, and missing values are last."""
    missing = int(np.isnan(values).sum())
    # Edges have the precision of the values. A value above the last edge is in the last bin; comparisons with NaN are false.
    above = [int((values > edge).sum()) for edge in np.array(edges, dtype=np.float32)]
    exceeding = np.array([len(values) - missing, *above, 0])
    return np.append(exceeding[:-1] - exceeding[1:], missing).astype(np.int64)


def _compute_shares(bin_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = bin_counts / max(1, int(bin_counts.sum()))
    return shares


def psi(shares: list[float], bin_counts: NDArray[np.int64]) -> float:
    """Return the population stability index of counts against reference shares: 0 for equal distributions."""
    expected = np.maximum(np.array(shares), _LEAST_SHARE)
    actual = np.maximum(_compute_shares(bin_counts), _LEAST_SHARE)
    return float(np.sum((actual - expected) * np.log(actual / expected)))
