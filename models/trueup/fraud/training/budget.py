"""Set the threshold by the daily budget of cases, counted on ordinary days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import xgboost as xgb

from trueup.fraud.features.feature_spec import Owner
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.fraud.scoring.accused import both_accused, first_is_peer
from trueup.fraud.training.folds import Floats, Table

_MOST_EXPLAINED = 50_000
NEVER = 2.0
"""A threshold that no probability reaches."""


@dataclass(frozen=True)
class Room:
    """What rules leave of the budget on some ordinary days.

    `by_rules` is the number of cases that rules raise on these days. `cases_of_rule` has them by rule; one of two rules is in both.
    `left` is the number of cases that a model may add.
    """

    days: int
    by_rules: int
    left: int
    cases_of_rule: dict[str, int] = field(default_factory=dict)


def with_parties(
    table: Table, margin: Floats, booster: xgb.Booster, owners: list[Owner], *, most: int = _MOST_EXPLAINED
) -> pl.DataFrame:
    """Return the rows with score, first accused `party`, and `second_party` where the other end is accused too.

    The accused parties are computed only for the `most` highest scores.
    """
    no_party = pl.lit(None, table.rows.schema["party"])
    rows = table.rows.with_columns(score=pl.Series(margin, dtype=pl.Float64), second_party=no_party)
    top = np.sort(np.argsort(-margin, kind="stable")[:most])
    has_peer = rows["peer"].is_not_null().to_numpy()[top]
    if not has_peer.any():
        return rows
    added = booster.predict(xgb.DMatrix(table.values[top]), pred_contribs=True)[:, :-1].astype(np.float64)
    received = rows["is_received"].fill_null(value=False).to_numpy()[top]
    peer_first, both = np.zeros((2, len(margin)), dtype=np.bool_)
    peer_first[top] = first_is_peer(added, owners, received, has_peer)
    both[top] = both_accused(added, owners, received, has_peer)
    is_peer = pl.lit(pl.Series(peer_first))
    return rows.with_columns(
        party=pl.when(is_peer).then("peer").otherwise("party"),
        second_party=pl.when(pl.lit(pl.Series(both))).then(pl.when(is_peer).then("party").otherwise("peer")),
    )


def cases_of(scored: pl.DataFrame) -> pl.DataFrame:
    """Return the cases of scored transactions, one for each accused party and day, with the highest score of each.

    `scored`: day, party, score, and `second_party` where both ends of a transaction can be accused.
    """
    first = scored.select("day", "party", "score")
    if "second_party" in scored.columns:
        second = scored.filter(pl.col("second_party").is_not_null())
        first = pl.concat([first, second.select("day", "score", party="second_party").select(first.columns)])
    return first.group_by("day", "party").agg(pl.col("score").max())


def threshold_for(scored: pl.DataFrame, alerts_per_day: int, taken: pl.DataFrame | None = None) -> float:
    """Return the lowest score that adds on an average ordinary day no more cases than rules leave of `alerts_per_day`.

    `scored` is that of `cases_of`. `taken` (day, party, rule) are the cases that rules raise. A score in such a case adds no case.
    """
    cases = cases_of(scored).join(_select_days(scored), on="day", how="semi")
    if taken is not None:
        cases = cases.join(taken, on=["day", "party"], how="anti", nulls_equal=True)
    return lowest_within(cases["score"].to_numpy(), room_for_model(scored, alerts_per_day, taken).left)


def room_for_model(scored: pl.DataFrame, alerts_per_day: int, taken: pl.DataFrame | None) -> Room:
    """Return what rules leave of the budget on the ordinary days of `scored`; the parameters are those of `threshold_for`."""
    days = _select_days(scored).select("day")
    if taken is None:
        return Room(days.height, 0, alerts_per_day * days.height)
    counted = taken.join(days, on="day", how="semi")
    by_day = counted.select("day", "party").unique().group_by("day").agg(by_rules=pl.len())
    by_rules = days.join(by_day, on="day", how="left")["by_rules"].fill_null(0).to_list()
    of_rule = counted.group_by("rule").agg(cases=pl.struct("day", "party").n_unique())
    of_rule = of_rule.sort("cases", "rule", descending=[True, False])
    return Room(days.height, sum(by_rules), left_by_rules(alerts_per_day, by_rules), dict(of_rule.iter_rows()))


def _select_days(scored: pl.DataFrame) -> pl.DataFrame:
    return ordinary_days(scored.group_by("day").agg(transactions=pl.len()))


def left_by_rules(budget: int, by_rules: Sequence[int]) -> int:
    """Return how many cases a model may add on some days: on each day the budget minus the day's cases of rules, at least none.

    >>> left_by_rules(5, [2, 0, 5]), left_by_rules(5, [9, 5])
    (8, 0)

    A day on which rules exceed the budget takes nothing from other days, because what is over the budget is not reviewed:

    >>> left_by_rules(5, [60, 1])
    4
    """
    return sum(max(0, budget - cases) for cases in by_rules)


def lowest_within(scores: Floats, allowed: int) -> float:
    """Return the lowest score that at most `allowed` scores reach; `NEVER` where more scores share the highest value.

    If none is allowed, this is the next number above the highest score. So a stronger fraud than all of these still raises a case.
    """
    ordered = np.sort(scores)[::-1]
    if len(ordered) <= allowed or not len(ordered):
        return float(ordered[-1]) if len(ordered) else NEVER
    if not allowed:
        return float(np.nextafter(ordered[0], np.inf))
    # This is the score of the first case beyond the budget; only higher scores may raise alerts.
    above = ordered[ordered > ordered[allowed]]
    return float(above[-1]) if len(above) else NEVER
