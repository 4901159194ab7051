"""The ledger: the changes of the conservation sums at each position.

A sum is over all bookings of a (service, day, currency). At each position expected − billed = impact + tolerated + pending.
"""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.bookings import PENDING, TOLERATED
from trueup.reconcile.kernel.lifecycle import Snapshot

LEDGER: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "service": pl.String(),
    "day": pl.Date(),
    "currency": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "impact_micros": pl.Int128(),
    "tolerated_micros": pl.Int128(),
    "pending_micros": pl.Int128(),
    "unrated_records": pl.Int64(),
}
CELL = ["service", "day", "currency"]
"""The columns of one sum."""
_SUMS = [n for n in LEDGER if n not in ("position", *CELL)]
_MONEY = ["expected_micros", "billed_micros", "unrated_records"]
_BOOKED = ["component", "at", *CELL, "kind", *_MONEY]
DELTA: dict[str, pl.DataType] = {"component": pl.Int64(), **LEDGER}
"""One change of a sum; `component` is NULL except for components of pooled sessions."""


def ledger_amounts() -> list[pl.Expr]:
    """Return the impact, tolerated and pending money of a booking, from its kind, expected and billed amounts."""
    impact = pl.col("expected_micros") - pl.col("billed_micros")
    kinds = {
        "pending_micros": pl.col("kind") == PENDING,
        "tolerated_micros": pl.col("kind") == TOLERATED,
        "impact_micros": ~pl.col("kind").is_in([PENDING, TOLERATED]),
    }
    return [pl.when(of).then(impact).otherwise(pl.lit(0, pl.Int128)).alias(name) for name, of in kinds.items()]


def ledger_deltas(before: Snapshot, after: Snapshot, pooled: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of each sum at each evaluation, as `DELTA`: the bookings from it on minus the bookings before it.

    Components in `pooled` (`component`, `of`) have rows of their own; all others are added up.
    """
    was = before.bookings.with_columns(pl.col(c) * -1 for c in _MONEY)
    entries = pl.concat([after.bookings.select(*_BOOKED), was.select(*_BOOKED)])
    booked = entries.with_columns(ledger_amounts()).rename({"at": "position"})
    if pooled.is_empty():
        booked = booked.with_columns(component=pl.lit(None, pl.Int64))
    else:
        booked = booked.join(pooled, on="component", how="left").with_columns(component="of")
    sums = booked.group_by("component", "position", *CELL).agg(pl.col(_SUMS).sum())
    return sums.select(pl.col(n).cast(t) for n, t in DELTA.items())


def ledger_rows(deltas: pl.DataFrame, after: int) -> pl.DataFrame:
    """Return changes after a position as `LEDGER`, added up per sum; changes that cancel out are left out."""
    ledger = deltas.filter(pl.col("position") > after).group_by("position", *CELL).agg(pl.col(_SUMS).sum())
    changed = ledger.filter(pl.any_horizontal(pl.col(n) != 0 for n in _SUMS))
    return changed.select(*LEDGER).sort("position", *CELL, nulls_last=True)
