"""Totals of periods at the end of an evaluation, by which a later evaluation can judge a period without its records.

The totals of two sets of records of one period add up to the totals of all records. As long as a period is pending, each of its
records changes the conservation sums only by its own expected and billed money.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.reconcile.blocking.components import CELL
from trueup.reconcile.domain.bookings import TOLERATED, drop_zero_impact
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.kernel.aggregation import with_kind, with_passed_position
from trueup.reconcile.kernel.corrections import MONEY
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.kernel.lines import DIFFERING

_ADDED: dict[str, pl.DataType] = {
    "usage_quantity": pl.Int128(), "expected_micros": pl.Int128(), "billed_micros": pl.Int128(), "unrated_records": pl.Int64(),
}  # fmt: skip
_KNOWN_OF_ALL: dict[str, pl.DataType] = {"charge_quantity": pl.Int128(), "charged_value": pl.Int128()}
"""Sums that are NULL if any record has no value."""
_OF_ANY: dict[str, pl.DataType] = {"used": pl.Boolean(), "charged": pl.Boolean()}
SUMS: dict[str, pl.DataType] = _ADDED | _KNOWN_OF_ALL | _OF_ANY
_CELL: dict[str, pl.DataType] = {
    **dict.fromkeys(CELL[:4], pl.String()), "sum_period": pl.Int64(), "timezone": pl.String(), "index": pl.Int64(),
}  # fmt: skip
TOTALS: dict[str, pl.DataType] = {
    "component": pl.Int64(), "passed_at": pl.Int64(), "end_us": pl.Int64(), "rule": pl.Int32(), **_CELL, **SUMS,
}  # fmt: skip
"""The totals of a period: the rule of its sums, its last instant, and the position at which both streams have passed that."""


def last_totals(totals: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Return the totals of each component's last span, from the totals of all spans (`PeriodSums.totals`), as `TOTALS`."""
    if totals.is_empty():
        return pl.DataFrame(schema=TOTALS)
    last = spans.filter(pl.col("next_at") == NEVER_POSITION).select("component", "at")
    return totals.join(last, on=["component", "at"], how="semi").select(pl.col(n).cast(t) for n, t in TOTALS.items())


def added_up() -> list[pl.Expr]:
    """Return the expressions that add up the `SUMS` of several sets of records of one period."""
    return [
        pl.col(*_ADDED).sum(),
        *(pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name) for name in _KNOWN_OF_ALL),
        pl.col(*_OF_ANY).any(),
    ]


def judged_totals(totals: pl.DataFrame, frontier: Frontier, upto: int) -> pl.DataFrame:
    """Return periods (`_CELL`, `SUMS` and `rule`) as judged at a position, with `kind`, `day` and `passed_at`.

    The kind is the kind of their booking only where it is pending or tolerated. No charge corrects a record of the periods.
    """
    policy = int(frontier.policies.number_at(np.array([upto]))[0])
    uncorrected = {name: pl.lit(None, dtype) for name, dtype in MONEY.items() if name.endswith("_micros")}
    named = totals.drop("passed_at", "end_us", strict=False).with_columns(
        at=pl.lit(upto, pl.Int64), policy=pl.lit(policy, pl.Int64), started_us=pl.lit(None, pl.Int64),
        reason=pl.lit(None, pl.String), billing_status=pl.lit(None, pl.String), **uncorrected,
    )  # fmt: skip
    judged = with_kind(with_passed_position(named, frontier))
    # One of the lines may be an excess even if the total is right; only the lines themselves show that.
    return judged.with_columns(kind=pl.when(pl.col("kind").is_in(DIFFERING)).then("kind").otherwise(drop_zero_impact()))


def deltas_of_tolerated(judged: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of the conservation sums (`LEDGER`) where tolerated periods (`judged_totals`) cease to be pending."""
    expected, billed, zero = pl.col("expected_micros"), pl.col("billed_micros"), pl.lit(0, pl.Int128)
    tolerated = judged.filter(pl.col("kind") == TOLERATED)
    changes = tolerated.select(
        "day", "currency", position="passed_at", service=pl.col("service").fill_null(""), expected_micros=zero, billed_micros=zero,
        impact_micros=zero, tolerated_micros=expected - billed, pending_micros=billed - expected,
        unrated_records=pl.lit(0, pl.Int64),
    )  # fmt: skip
    return changes.select(pl.col(n).cast(t) for n, t in LEDGER.items())
