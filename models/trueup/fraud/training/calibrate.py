"""Calibrate margins to probabilities: about 30 % of the transactions with probability 0.3 are frauds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """Probability = logistic(slope × margin + shift): a positive slope preserves the ranking of transactions.

    >>> Calibration(slope=1.0, shift=0.0).probability(np.array([-2.0, 0.0, 2.0])).round(3).tolist()
    [0.119, 0.5, 0.881]

    Training gives frauds more weight, so the margins of a model can be too high. Here only 20 of 100 transactions at margin 0 are
    frauds, and 60 of 100 at margin 2. The fit lowers the probabilities to the shares of frauds:

    >>> margin = np.repeat([0.0, 2.0], 100)
    >>> fraud = np.concatenate([np.arange(100) < 20, np.arange(100) < 60])
    >>> fitted = Calibration.fitted(margin, fraud)
    >>> fitted.probability(np.array([0.0, 2.0])).round(2).tolist()
    [0.2, 0.6]
    """

    slope: float = 1.0
    shift: float = 0.0

    def probability(self, margin: Floats) -> Floats:
        """Return the probability of fraud for each margin."""
        probability: Floats = 1.0 / (1.0 + np.exp(-np.clip(self.slope * margin + self.shift, -500.0, 500.0)))
        return probability

    @classmethod
    def fitted(cls, margin: Floats, fraud: NDArray[np.bool_]) -> Calibration:
        """Fit slope and shift by maximum likelihood (Newton's method) on margins of transactions outside training.

        Targets are moved slightly away from 0 and 1 (Platt's method), so that a perfect ranking also has a solution. With a single
        class, or a fitted slope that is not positive, slope is 1 and shift 0.
        """
        frauds = int(fraud.sum())
        honest = len(fraud) - frauds
        if not frauds or not honest:
            return cls()
        target = np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (honest + 2))
        design = np.column_stack([margin, np.ones(len(margin))])

        def loss(at: Floats) -> float:
            value = design @ at
            return float(np.sum(np.logaddexp(0.0, value) - target * value))

        at = np.array([1.0, 0.0])
        for _ in range(_STEPS):
            fitted = cls(float(at[0]), float(at[1])).probability(margin)
            weight = np.maximum(fitted * (1 - fitted), 1e-9)
            curvature = design.T @ (design * weight[:, None]) + 1e-6 * np.eye(2)
            step = np.linalg.solve(curvature, design.T @ (target - fitted))
            # Newton's step can overshoot where the curve is flat, so it is halved until the loss does not increase.
            size, before = 1.0, loss(at)
            while size > 1e-6 and loss(at + size * step) > before:
                size /= 2
            at = at + size * step
            if np.abs(size * step).max() < 1e-9:
                break
        return cls(float(at[0]), float(at[1])) if at[0] > 0 else cls()


def calibration_error(probability: Floats, fraud: NDArray[np.bool_], *, bins: int = 10) -> list[dict[str, float]]:
    """Return a row per non-empty bin of equal width: transactions, mean probability (`said`), share of frauds (`was`)."""
    which = np.minimum((probability * bins).astype(np.int64), bins - 1)
    return [
        {"from": n / bins, "transactions": int((which == n).sum()), "said": float(probability[which == n].mean()),
         "was": float(fraud[which == n].mean())}
        for n in range(bins)
        if (which == n).any()
    ]  # fmt: skip
