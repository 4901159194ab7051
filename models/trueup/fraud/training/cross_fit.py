"""Score every transaction by trees that were trained without its party, and otherwise on the data of the final trees.

The final trees are trained on more frauds than the trees of any fold, so they give higher scores. A threshold or calibration set on
the scores of a fold would therefore not fit the final trees. Training without a part of the parties loses few frauds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import xgboost as xgb

from trueup.fraud.features.feature_spec import Owner
from trueup.fraud.scoring.model import threads_for
from trueup.fraud.training.budget import with_parties
from trueup.fraud.training.folds import Floats, Known, Rows, Table, weights_of

_PARTS = 5
_LEAST_EXPLAINED, _EXPLAINED_PER_CASE = 500, 100


def cross_fitted(
    table: Table, recent: Table | None, train: Callable[[Known], xgb.Booster], owners: list[Owner], *, budget: int
) -> pl.DataFrame | None:
    """Return the rows of both tables with the margin as `score`, the party first accused, and `is_known`.

    `train` makes trees of some rows of `table`; `recent` are rows without a label yet. Only as many of the highest scores as a
    `budget` of cases a day needs are explained, because explaining costs more than training. None where one part of the parties has
    all frauds, so that training without it is impossible.
    """
    both = table if recent is None else Table(np.concatenate([table.values, recent.values]), pl.concat([table.rows, recent.rows]))
    # Divide by the order of the parties, so that equal data are divided equally.
    most = max(_LEAST_EXPLAINED, _EXPLAINED_PER_CASE * budget)
    part_of = (both.rows["party"].cast(pl.String).fill_null("").rank("dense") % _PARTS).to_numpy()
    of_known, decided = part_of[: table.rows.height], table.rows["decided_us"].is_not_null().to_numpy()
    scored, at = list[pl.DataFrame](), list[Rows]()
    for part in range(_PARTS):
        rows, others = np.flatnonzero(part_of == part), np.flatnonzero(of_known != part)
        if not len(rows):
            continue
        fraud = table.fraud[others]
        if not fraud.any() or fraud.all():
            return None
        booster = train(Known(others, fraud, weights_of(decided[others])))
        scored.append(with_parties(both.take(rows), margins_of(booster, both, rows), booster, owners, most=most))
        at.append(rows)
    order = np.argsort(np.concatenate(at), kind="stable")
    is_known = pl.Series(np.arange(both.rows.height) < table.rows.height)
    return pl.concat(scored)[order].with_columns(is_known=is_known)


def margins_of(booster: xgb.Booster, table: Table, at: Rows) -> Floats:
    """Return the margins that trees give to some rows of a table."""
    matrix = xgb.DMatrix(table.values[at], nthread=threads_for(len(at)))
    margin: Floats = booster.predict(matrix, output_margin=True).astype(np.float64)
    return margin
