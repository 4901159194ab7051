"""The one commit of a reconciliation: findings, sums and the consumer's position, together or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from trueup.errors import LogError
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.run_partition import Outcome

CONSUMER = "reconcile"


@dataclass(frozen=True)
class Committed:
    """What a commit added: how many changes of findings by action; `moved` when the consumer's position advanced."""

    actions: dict[str, int]
    advanced: bool


def commit_outcome(lake: Lake, outcome: Outcome, *, after: int, upto: int, all_days: bool = True) -> Committed:
    """Commits an outcome of (after, upto]; what is known already is not added again, so that a repeated run adds nothing.

    `whole = False` is for an outcome of some days only: its findings are committed, its sums and the position are not.
    Raises `LogError` when another reconciler has moved the position meanwhile.
    """

    def write(transaction: Transaction) -> Committed:
        standing = lake.consumer_position(CONSUMER)
        if standing >= upto:
            return Committed({}, False)
        if standing != after:
            raise LogError(
                f"the lake has been reconciled up to {standing} meanwhile, this run began at {after}",
                where=str(lake.project.directory), todo="run it again",
            )  # fmt: skip
        fresh = _unknown(lake, outcome.history, after)
        transaction.append("finding", fresh)
        if all_days:
            transaction.append("ledger", _decimals(outcome.ledger))
            transaction.append("placement", _decimals(outcome.placement))
            transaction.set_consumer_position(CONSUMER, upto)
        return Committed(dict(Counter(fresh["action"].to_list())), all_days)

    return lake.commit(write)


def _unknown(lake: Lake, history: pl.DataFrame, after: int) -> pl.DataFrame:
    """The changes that the lake does not hold: those of a run over some days are there before the whole run's."""
    query = "SELECT finding_id, position FROM lake.events.finding WHERE position > ?"
    known = lake.connection.execute(query, [after]).pl()
    return history.join(known, on=["finding_id", "position"], how="anti", maintain_order="left")


def _decimals(frame: pl.DataFrame) -> pl.DataFrame:
    """128-bit integers as DECIMAL(38, 0), which Arrow and DuckDB have."""
    return frame.with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0)))
