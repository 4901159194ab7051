"""Divide labelled transactions into folds that simulate live operation: each fold has the labels known at its cut."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.scoring.model import ModelError, matrix
from trueup.fraud.training.time_span import time_span

WEAK_WEIGHT = 0.5
"""The weight in training of a transaction that counts as honest only because no person has decided on it."""
_COLUMNS = ("event_id", "at_us", "decided_us", "honest_us", "day", "party", "fraud", "type", "peer", "is_received", "loss_micros")
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """Transactions in order of time: their features, and their facts and labels.

    The columns of `rows` are `event_id`, `at_us`, `day`, `party`, `peer`, `is_received`, `fraud` (as known today), `decided_us`,
    `honest_us`, `type` and `loss_micros`. `peer` and `is_received` are missing where a transaction has only one party. `decided_us`
    is when a person decided, and `honest_us` when the transaction counts as honest without a decision. `loss_micros` is the money
    that is lost if the transaction is fraud, missing where unknown.
    """

    values: NDArray[np.float32]
    rows: pl.DataFrame

    @property
    def fraud(self) -> Bools:
        """Return which rows are frauds, as known today."""
        return self.rows["fraud"].to_numpy()

    def take(self, at: Rows) -> Table:
        """Return some rows."""
        return Table(self.values[at], self.rows[at])


def table_of(declared: FeatureSet, features: pl.DataFrame, rows: pl.DataFrame) -> Table:
    """Return the table of features (`event_id` and `declared.names`) and rows (`event_id` and the columns of `Table.rows`)."""
    missing = {"type": pl.String(), "peer": pl.String(), "is_received": pl.Boolean(), "loss_micros": pl.Int64()}
    # These columns are added before the join, so that a feature of the same name does not replace them.
    rows = rows.with_columns(pl.lit(None, t).alias(n) for n, t in missing.items() if n not in rows.columns)
    joined = rows.join(features.select("event_id", *declared.names), on="event_id", how="inner", suffix="_of_features")
    joined = joined.sort("at_us", "event_id")
    values = joined.select(
        pl.col(f"{n}_of_features" if f"{n}_of_features" in joined.columns else n).alias(n) for n in declared.names
    )
    return Table(matrix(values, declared.names), joined.select(_COLUMNS))


@dataclass(frozen=True)
class Known:
    """The labels known at an instant: row numbers, whether each row counts as fraud, and its weight in training."""

    at: Rows
    fraud: Bools
    weight: Floats


@dataclass(frozen=True)
class Fold:
    """A fold: the labels known at a cut, and the row numbers of the transactions from that cut to the next."""

    cut_us: int
    train: Known
    test: Rows


def known_at(table: Table, cut_us: int) -> Known:
    """Return the labels of the transactions that were known before an instant.

    A decision counts from its time on. A transaction without a decision by then counts as honest, with less weight, once it is old
    enough; that includes frauds confirmed later.
    """
    rows = table.rows
    decided = (rows["decided_us"] <= cut_us).fill_null(value=False).to_numpy()
    aged = (rows["honest_us"] <= cut_us).to_numpy()
    before = (rows["at_us"] < cut_us).to_numpy()
    at = np.flatnonzero(before & (decided | aged))
    return Known(at, (table.fraud & decided)[at], weights_of(decided[at]))


def weights_of(decided: Bools) -> Floats:
    """Return the weight in training of rows, by whether a person decided on them."""
    weights: Floats = np.where(decided, 1.0, WEAK_WEIGHT)
    return weights


def newest_of(table: Table) -> int:
    """Return the instant as of which all labels of a table are known."""
    known = table.rows.select(pl.min_horizontal("decided_us", "honest_us").max()).item()
    return int(known) if known is not None else 0


def folds(table: Table, count: int, *, now_us: int | None = None) -> list[Fold]:
    """Return folds over the later half of the time span whose labels are all known.

    Raises `ModelError` where no interval has both frauds to test on and frauds known before it.
    """
    fraud = table.fraud
    if not len(fraud) or fraud.all() or not fraud.any():
        had = "no transaction has a known label" if not len(fraud) else f"all labels say {'fraud' if fraud.any() else 'honest'}"
        raise ModelError(
            f"there is nothing to learn: {had}",
            todo="decide on cases (`trueup decide CASE confirmed`, or `dismissed --note REASON`), "
            "or begin with `trueup promote starter`",
        )
    at, now = table.rows["at_us"].to_numpy(), newest_of(table) if now_us is None else now_us
    begin, end = time_span(at)
    aged = at[(table.rows["honest_us"] <= now).to_numpy() & (at >= begin) & (at <= end)]
    if not len(aged):
        raise ModelError("no transaction is older than the label delay", todo="wait, or shorten `label_delay`")
    first, last = begin, int(aged.max()) + 1
    edges = [first + (last - first) * (count + n) // (2 * count) for n in range(count + 1)]
    parts = [Fold(low, known_at(table, low), np.flatnonzero((at >= low) & (at < high))) for low, high in itertools.pairwise(edges)]
    usable = [f for f in parts if f.train.fraud.any() and not f.train.fraud.all() and fraud[f.test].any()]
    if not usable:
        raise ModelError(
            "no later days have frauds that earlier labels could predict",
            todo="wait for more labels, shorten `label_delay`, or begin with `trueup promote starter`",
        )
    return usable
