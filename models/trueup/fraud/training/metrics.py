"""Measure a ranking: area under ROC, average precision, and precision at a daily alert budget."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc_roc(fraud: NDArray[np.bool_], score: Floats) -> float:
    """Return the chance that a fraud ranks above an honest transaction, ties counting half; NaN where there is only one class."""
    frauds = int(fraud.sum())
    honest = len(fraud) - frauds
    if not frauds or not honest:
        return float("nan")
    rank = pl.Series(score).rank("average").to_numpy()
    return float((rank[fraud].sum() - frauds * (frauds + 1) / 2) / (frauds * honest))


def average_precision(fraud: NDArray[np.bool_], score: Floats) -> float:
    """Return the average precision; transactions of equal score count together. NaN without any fraud."""
    if not fraud.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    caught = np.cumsum(fraud[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision, recall = caught[last] / (last + 1), caught[last] / caught[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def party_precision(scored: pl.DataFrame, *, budget: int, forget_caught: bool = True) -> float:
    """Return the mean over days of `daily_precision`; NaN without any day."""
    precisions = daily_precision(scored, budget=budget, forget_caught=forget_caught)
    return float(np.mean(precisions)) if precisions else float("nan")


def daily_precision(scored: pl.DataFrame, *, budget: int, forget_caught: bool = True) -> list[float]:
    """Return the precision of each day if an analyst checks the `budget` parties with the highest scores.

    `scored`: day, party, fraud (truth value), score. With `forget_caught`, a party that was caught is left out of all later days,
    like a blocked card. On a day with fewer parties than the budget, the missing ones count as false alerts, as in the published
    definition.
    """
    per_party = scored.group_by("day", "party").agg(pl.col("score").max(), pl.col("fraud").any())
    caught: set[object] = set()
    precisions = []
    for day in per_party["day"].unique().sort():
        rows = per_party.filter((pl.col("day") == day) & ~pl.col("party").is_in(list(caught)))
        top = rows.sort(["score", "party"], descending=[True, False]).head(budget)
        hits = top.filter("fraud")["party"].to_list()
        precisions.append(len(hits) / budget)
        if forget_caught:
            caught.update(hits)
    return precisions


def reviewed_cases(scored: pl.DataFrame, *, budget: int) -> pl.DataFrame:
    """Return the cases (`day`, `party`) that come first on each day, up to the budget. `scored`: day, party, score."""
    cases = scored.group_by("day", "party").agg(pl.col("score").max())
    cases = cases.sort(["day", "score", "party"], descending=[False, True, False])
    return cases.group_by("day", maintain_order=True).head(budget).select("day", "party")


def value_detected_ratio(scored: pl.DataFrame, *, budget: int) -> float | None:
    """Return the money of frauds in reviewed cases, divided by the money of all frauds; None where no fraud has money.

    `scored`: day, party, fraud, score, loss_micros.

    >>> rows = {"day": [1, 1, 1], "party": ["a", "b", "c"], "fraud": [True, True, False], "score": [0.9, 0.1, 0.5]}
    >>> value_detected_ratio(pl.DataFrame(rows | {"loss_micros": [30_000_000, 10_000_000, 70_000_000]}), budget=2)
    0.75
    """
    frauds = scored.filter("fraud")
    money = int(frauds["loss_micros"].sum())
    if not money:
        return None
    detected = frauds.join(reviewed_cases(scored, budget=budget), on=["day", "party"], how="semi")
    return int(detected["loss_micros"].sum()) / money


_RESAMPLES = 200
_INTERVAL = (5, 95)


def day_intervals(scored: pl.DataFrame, *, budget: int, seed: int) -> dict[str, list[float]]:
    """Return 90 % bootstrap intervals of the measures; whole days are redrawn, since transactions of a day are not independent.

    `scored`: day, party, fraud, score.
    """
    days = scored["day"].unique().sort()
    if days.len() < 2:
        return {}
    order = np.argsort(-scored["score"].to_numpy(), kind="stable")
    fraud = scored["fraud"].to_numpy()[order].astype(np.float64)
    number = scored.join(days.to_frame().with_row_index("number"), on="day", how="left", maintain_order="left")[
        "number"
    ].to_numpy()[order]
    of_day = daily_precision(scored, budget=budget)
    random, precision, at_budget = np.random.default_rng(seed), list[float](), list[float]()
    for _ in range(_RESAMPLES):
        drawn = random.integers(0, days.len(), days.len())
        weight = np.bincount(drawn, minlength=days.len()).astype(np.float64)[number]
        caught, seen = np.cumsum(weight * fraud), np.cumsum(weight)
        if caught[-1]:
            precision.append(float(np.sum(weight * fraud * caught / np.maximum(seen, 1)) / caught[-1]))
        at_budget.append(float(np.mean([of_day[int(d)] for d in drawn])))
    found = {"average_precision": precision, "precision_at_budget": at_budget}
    return {name: [float(v) for v in np.percentile(values, _INTERVAL)] for name, values in found.items() if values}
