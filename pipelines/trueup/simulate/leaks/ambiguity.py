"""Where the data do not decide: free usage and charges of one pair of numbers within the start tolerance of each other."""

from __future__ import annotations

import polars as pl

from trueup.simulate.market.services import SERVICES

_TOLERANCE_US = {n: s.start_tolerance_s * 1_000_000 for n, s in enumerate(SERVICES) if s.nearest}


def undecidable(usage: pl.DataFrame, charges: pl.DataFrame) -> pl.Series:
    """The sessions (numbers) that matching by time may give to each other.

    Both frames hold what no shared key ties together, of services matched by time: `session`, `service`, `subscriber`,
    `peer`, `time_us`. Units of one service and pair of numbers, each within tolerance of the one before, are a chain;
    a chain is decidable when it is no more than one session and its own charge.
    """
    tolerance = pl.col("service").replace_strict(_TOLERANCE_US, default=None, return_dtype=pl.Int64)
    names = ("session", "service", "subscriber", "peer", "time_us")
    units = pl.concat([usage.select(names).with_columns(charge=False), charges.select(names).with_columns(charge=True)])
    units = units.filter(tolerance.is_not_null()).sort("service", "subscriber", "peer", "time_us", "session", "charge")
    pair = [pl.col(c) != pl.col(c).shift(1) for c in ("service", "subscriber", "peer")]
    breaks = pl.any_horizontal(*pair, pl.col("time_us") - pl.col("time_us").shift(1) > tolerance).fill_null(value=True)
    chains = units.with_columns(chain=breaks.cum_sum())
    # A chain of one session and its charge alternates between the two; any other has two neighbours that do not.
    odd = (pl.col("session") != pl.col("session").shift(1)) | (pl.col("charge") == pl.col("charge").shift(1))
    mixed = chains.filter(~breaks & odd).select("chain").unique()
    return chains.join(mixed, on="chain", how="semi")["session"].unique().sort()
