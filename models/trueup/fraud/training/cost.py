"""Set the threshold by money: reviewing a case must save more than it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

HOUR_US = 3_600_000_000
_CANDIDATES = 50


@dataclass(frozen=True)
class ReviewCost:
    """The cost of reviewing a case, and the time from its first suspicious transaction until the fraud is stopped."""

    micros: int
    reaction_us: int = HOUR_US


@dataclass(frozen=True)
class CostThreshold:
    """The threshold that saves most, the cases above it, and the money saved by stopping their frauds minus the cost of reviews."""

    score: float
    cases: int
    net_micros: int


def cost_threshold(scored: pl.DataFrame, cost: ReviewCost) -> CostThreshold | None:
    """Return the threshold at which money saved minus cost of reviews is greatest; None where no threshold saves money.

    `scored`: day, party, at_us, fraud, loss_micros, score. A case (party and day) saves the money of frauds later than its first
    transaction at the threshold plus the reaction time. Among equally good thresholds the highest is chosen, because it has the
    fewest cases.
    """
    highest = scored.group_by("day", "party").agg(pl.col("score").max())["score"].unique().sort(descending=True)
    at = np.unique(np.linspace(0, max(0, highest.len() - 1), _CANDIDATES).astype(np.int64)).tolist()
    best: CostThreshold | None = None
    for candidate in highest.gather(at).to_list() if highest.len() else []:
        saved, cases = _sum_saved(scored, candidate, cost.reaction_us)
        net_micros = saved - cost.micros * cases
        if net_micros > (best.net_micros if best else 0):
            best = CostThreshold(candidate, cases, net_micros)
    return best


def _sum_saved(scored: pl.DataFrame, threshold: float, reaction_us: int) -> tuple[int, int]:
    first = scored.filter(pl.col("score") >= threshold).group_by("day", "party").agg(first_us=pl.col("at_us").min())
    stopped = scored.filter("fraud").join(first, on=["day", "party"], how="inner")
    stopped = stopped.filter(pl.col("at_us") >= pl.col("first_us") + reaction_us)
    return int(stopped["loss_micros"].sum()), first.height
