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


def with_parties(
    table: Table, margin: Floats, booster: xgb.Booster, owners: list[Owner], *, most: int = _MOST_EXPLAINED
) -> pl.DataFrame:
    """Return the rows with score and first accused party; the party is computed only for the `most` highest scores."""
    rows = table.rows.with_columns(score=pl.Series(margin, dtype=pl.Float64))
    top = np.sort(np.argsort(-margin, kind="stable")[:most])
    has_peer = rows["peer"].is_not_null().to_numpy()[top]
    if not has_peer.any():
        return rows
    added = booster.predict(xgb.DMatrix(table.values[top]), pred_contribs=True)[:, :-1].astype(np.float64)
    received = rows["is_received"].fill_null(value=False).to_numpy()[top]
    peer_first = np.zeros(len(margin), dtype=np.bool_)
    peer_first[top] = first_is_peer(added, owners, received, has_peer)
    return rows.with_columns(party=pl.when(pl.Series(peer_first)).then("peer").otherwise("party"))


def threshold_for(scored: pl.DataFrame, alerts_per_day: int, taken: pl.DataFrame | None = None) -> float:
    """Return the lowest score that gives on an average ordinary day no more cases than `alerts_per_day`.

    A case is a party on a day. `scored`: day, party, score. `taken` (day, party) are the cases that rules raise. A score in such a
    case adds no case.
    """
    days = ordinary_days(scored.group_by("day").agg(transactions=pl.len()))
    cases = scored.join(days, on="day", how="semi").group_by("day", "party").agg(pl.col("score").max())
    by_rules = 0
    if taken is not None:
        by_rules = taken.join(days, on="day", how="semi").unique().height
        cases = cases.join(taken, on=["day", "party"], how="anti", nulls_equal=True)
    return lowest_within(cases["score"].to_numpy(), left_by_rules(alerts_per_day * days.height, by_rules))


def left_by_rules(budget: int, by_rules: int) -> int:
    """Return how many cases a model may raise: the budget minus the cases of rules, but at least half of the budget.

    So rules that match every day cannot keep the model from raising cases.

    >>> left_by_rules(70, 20), left_by_rules(70, 60), left_by_rules(7, 100)
    (50, 35, 4)
    """
    return max(budget - by_rules, (budget + 1) // 2)


def lowest_within(scores: Floats, allowed: int) -> float:
    """Return the lowest score that at most `allowed` scores reach; `NEVER` where more scores share the highest value."""
    ordered = np.sort(scores)[::-1]
    if len(ordered) <= allowed:
        return float(ordered[-1]) if len(ordered) else NEVER
    # This is the score of the first case beyond the budget; only higher scores may raise alerts.
    above = ordered[ordered > ordered[allowed]]
    return float(above[-1]) if len(above) else NEVER
