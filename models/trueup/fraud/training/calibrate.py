"""From a margin to a probability that means what it says: of those at 30 in 100, thirty are frauds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """Probability = logistic(slope × margin + shift): it never changes who ranks above whom, as long as the slope is positive."""

    slope: float = 1.0
    shift: float = 0.0

    def probability(self, margin: Floats) -> Floats:
        """The probability for each margin."""
        told: Floats = 1.0 / (1.0 + np.exp(-np.clip(self.slope * margin + self.shift, -500.0, 500.0)))
        return told

    @classmethod
    def fitted(cls, margin: Floats, fraud: NDArray[np.bool_]) -> Calibration:
        """Slope and shift of greatest likelihood on margins the model has not been trained on, by Newton's method.

        Targets are drawn in a little, after Platt, so that a perfect ranking has an answer as well.
        """
        frauds = int(fraud.sum())
        honest = len(fraud) - frauds
        if not frauds or not honest:
            return cls()
        target = np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (honest + 2))
        design = np.column_stack([margin, np.ones(len(margin))])

        def unlikely(at: Floats) -> float:
            value = design @ at
            return float(np.sum(np.logaddexp(0.0, value) - target * value))

        at = np.array([1.0, 0.0])
        for _ in range(_STEPS):
            told = cls(float(at[0]), float(at[1])).probability(margin)
            weight = np.maximum(told * (1 - told), 1e-9)
            bend = design.T @ (design * weight[:, None]) + 1e-6 * np.eye(2)
            step = np.linalg.solve(bend, design.T @ (target - told))
            # Newton's step goes too far where the curve is flat; half of it, and half again, does not.
            size, before = 1.0, unlikely(at)
            while size > 1e-6 and unlikely(at + size * step) > before:
                size /= 2
            at = at + size * step
            if np.abs(size * step).max() < 1e-9:
                break
        return cls(float(at[0]), float(at[1])) if at[0] > 0 else cls()


def calibration_error(probability: Floats, fraud: NDArray[np.bool_], *, bins: int = 10) -> list[dict[str, float]]:
    """By bins of equal width that hold anything: how many, the mean probability said, and the share that was fraud."""
    which = np.minimum((probability * bins).astype(np.int64), bins - 1)
    return [
        {"from": n / bins, "transactions": int((which == n).sum()), "said": float(probability[which == n].mean()),
         "was": float(fraud[which == n].mean())}
        for n in range(bins)
        if (which == n).any()
    ]  # fmt: skip
