"""How good a ranking is: by area, by average precision, and as an analyst with room for so many alerts a day would judge."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc_roc(fraud: NDArray[np.bool_], score: Floats) -> float:
    """The chance that a fraud ranks above an honest transaction, ties counting half; NaN where there is only one class."""
    frauds = int(fraud.sum())
    honest = len(fraud) - frauds
    if not frauds or not honest:
        return float("nan")
    rank = pl.Series(score).rank("average").to_numpy()
    return float((rank[fraud].sum() - frauds * (frauds + 1) / 2) / (frauds * honest))


def average_precision(fraud: NDArray[np.bool_], score: Floats) -> float:
    """The mean over recall of precision, transactions of equal score taken together; NaN without any fraud."""
    if not fraud.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    caught = np.cumsum(fraud[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision, recall = caught[last] / (last + 1), caught[last] / caught[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def party_precision(scored: pl.DataFrame, *, budget: int, forget_caught: bool = True) -> float:
    """Precision of the daily alerts: each day the `budget` parties with the highest scores are looked at.

    `scored`: day, party, fraud (truth value), score. A party caught is out of all later days, as a blocked card is. Days with
    fewer parties than the budget count what is missing as wasted, as the published definition does.
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
