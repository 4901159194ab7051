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
    """Return the mean over recall of precision, transactions of equal score taken together; NaN without any fraud."""
    if not fraud.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    caught = np.cumsum(fraud[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision, recall = caught[last] / (last + 1), caught[last] / caught[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def party_precision(scored: pl.DataFrame, *, budget: int, forget_caught: bool = True) -> float:
    """Return the mean daily precision when an analyst checks the `budget` parties with the highest scores each day.

    `scored`: day, party, fraud (truth value), score. A party caught is left out of all later days, like a blocked card. A day with
    fewer parties than the budget counts the missing ones as false alerts, as the published definition does.
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
    return float(np.mean(precisions)) if precisions else float("nan")
