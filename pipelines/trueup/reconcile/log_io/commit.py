"""Commit a reconciliation: findings, sums and the consumer position in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from trueup.errors import LogError
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.domain.consumer import CONSUMER as CONSUMER
from trueup.reconcile.results.outcome import Outcome


@dataclass(frozen=True)
class Committed:
    """The result of a commit: changes of findings by action; `advanced` when the consumer position advanced."""

    actions: dict[str, int]
    advanced: bool


def commit_outcome(lake: Lake, outcome: Outcome, *, after: int, upto: int, all_days: bool = True) -> Committed:
    """Commit an outcome of (after, upto]; changes that the lake has already are left out, so that a repeated run adds nothing.

    Without `all_days` the outcome is of some days only: its findings are committed, its sums and the position are not. Raises
    `LogError` when another reconciler has advanced the position since.
    """

    def write(transaction: Transaction) -> Committed:
        committed = lake.consumer_position(CONSUMER)
        if committed >= upto:
            return Committed({}, False)
        if committed != after:
            raise LogError(
                f"another run reconciled the lake up to position {committed} since this run began at {after}",
                where=str(lake.project.directory), todo="run it again",
            )  # fmt: skip
        new = _select_new_changes(lake, outcome.history, after)
        transaction.append("finding", new)
        if all_days:
            transaction.append("ledger", _convert_to_decimals(outcome.ledger))
            transaction.append("placement", _convert_to_decimals(outcome.placement))
            transaction.set_consumer_position(CONSUMER, upto)
        return Committed(dict(Counter(new["action"].to_list())), all_days)

    return lake.commit(write)


def _select_new_changes(lake: Lake, history: pl.DataFrame, after: int) -> pl.DataFrame:
    """Return the changes that the lake does not have yet; an earlier run, limited to some days, may have committed some."""
    query = "SELECT finding_id, position FROM lake.events.finding WHERE position > ?"
    known = lake.connection.execute(query, [after]).pl()
    return history.join(known, on=["finding_id", "position"], how="anti", maintain_order="left")


def _convert_to_decimals(frame: pl.DataFrame) -> pl.DataFrame:
    """Return 128-bit integers as DECIMAL(38, 0), which Arrow and DuckDB have."""
    return frame.with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0)))
