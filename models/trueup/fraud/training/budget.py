"""Set the threshold by the daily budget of cases, counted on ordinary days."""

from __future__ import annotations

import numpy as np
import polars as pl
import xgboost as xgb

from trueup.fraud.features.feature_spec import Owner
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.fraud.scoring.accused import first_is_peer
from trueup.fraud.training.folds import Floats, Table

_MOST_EXPLAINED = 50_000
NEVER = 2.0
"""A threshold that no probability reaches."""


def with_parties(table: Table, margin: Floats, booster: xgb.Booster, owners: list[Owner]) -> pl.DataFrame:
    """Return the rows with their score and the party that they accuse first; only the highest scores are explained to find it."""
    rows = table.rows.with_columns(score=pl.Series(margin, dtype=pl.Float64))
    top = np.sort(np.argsort(-margin, kind="stable")[:_MOST_EXPLAINED])
    has_peer = rows["peer"].is_not_null().to_numpy()[top]
    if not has_peer.any():
        return rows
    added = booster.predict(xgb.DMatrix(table.values[top]), pred_contribs=True)[:, :-1].astype(np.float64)
    received = rows["is_received"].fill_null(value=False).to_numpy()[top]
    peer_first = np.zeros(len(margin), dtype=np.bool_)
    peer_first[top] = first_is_peer(added, owners, received, has_peer)
    return rows.with_columns(party=pl.when(pl.Series(peer_first)).then("peer").otherwise("party"))


def threshold_for(scored: pl.DataFrame, alerts_per_day: int) -> float:
    """Return the lowest score that gives on an average ordinary day no more cases than `alerts_per_day`.

    A case is a party on a day. `scored`: day, party, score.
    """
    days = ordinary_days(scored.group_by("day").agg(transactions=pl.len()))
    cases = scored.join(days, on="day", how="semi").group_by("day", "party").agg(pl.col("score").max())
    return lowest_within(cases["score"].to_numpy(), alerts_per_day * days.height)


def lowest_within(scores: Floats, allowed: int) -> float:
    """Return the lowest score that at most `allowed` of the scores reach; `NEVER` where no score is that rare."""
    ordered = np.sort(scores)[::-1]
    if len(ordered) <= allowed:
        return float(ordered[-1]) if len(ordered) else NEVER
    # This is the score of the first case beyond the budget; only higher scores may raise alerts.
    above = ordered[ordered > ordered[allowed]]
    return float(above[-1]) if len(above) else NEVER
