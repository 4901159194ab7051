"""Convert units of the kernel to calls that the rater prices, and define the columns of its answer."""

from __future__ import annotations

import polars as pl

from trueup.rating.rate import CALL

PRICED: dict[str, pl.DataType] = {"expected_micros": pl.Int128(), "reason": pl.String()}


def calls_of(rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
    """Return rows in the rater's form, without account and subscriber, so that no row shares an allowance or tier.

    The caller's number, to which the origin of a rate applies, is the subscriber of the row.

    `call` is taken from the rows. A quantity that does not fit 64 bits becomes NULL.
    """
    fits = pl.col(quantity).cast(pl.Int64, strict=False)
    return rows.select(
        "service", "plan", "direction", "zone", "trunk", "peer", "currency", "start_us", "order",
        own_number="subscriber",
        call=pl.col("call").cast(pl.Int64), account=pl.lit(None, pl.String), subscriber=pl.lit(None, pl.String),
        quantity_micros=fits, cycle_day=pl.lit(None, pl.Int64),
    ).select(pl.col(n).cast(t) for n, t in CALL.items())  # fmt: skip
