"""Find undecidable sessions: unkeyed usage and charges of one party within the start tolerance of each other."""

from __future__ import annotations

import polars as pl

from trueup.simulate.market.services import SERVICES

_TOLERANCE_US = {n: s.start_tolerance_s * 1_000_000 for n, s in enumerate(SERVICES) if s.nearest}


def undecidable_sessions(usage: pl.DataFrame, charges: pl.DataFrame) -> pl.Series:
    """Return the numbers of the sessions whose charges a nearest match may exchange.

    Both frames hold records without a shared key, of services with nearest matches: `session`, `service`, `subscriber`,
    `peer`, `time_us`. Records of one party, each within tolerance of the previous one, form a chain. A chain is decidable
    when it holds only one session and its own charge.
    """
    tolerance = pl.col("service").replace_strict(_TOLERANCE_US, default=None, return_dtype=pl.Int64)
    names = ("session", "service", "subscriber", "peer", "time_us")
    units = pl.concat([usage.select(names).with_columns(charge=False), charges.select(names).with_columns(charge=True)])
    units = units.filter(tolerance.is_not_null()).sort("service", "subscriber", "peer", "time_us", "session", "charge")
    pair = [pl.col(c) != pl.col(c).shift(1) for c in ("service", "subscriber", "peer")]
    breaks = pl.any_horizontal(*pair, pl.col("time_us") - pl.col("time_us").shift(1) > tolerance).fill_null(value=True)
    chains = units.with_columns(chain=breaks.cum_sum())
    # A chain of one session and its charge alternates usage and charge. Every other chain has a record whose neighbour is not its
    # own.
    odd = (pl.col("session") != pl.col("session").shift(1)) | (pl.col("charge") == pl.col("charge").shift(1))
    mixed = chains.filter(~breaks & odd).select("chain").unique()
    return chains.join(mixed, on="chain", how="semi")["session"].unique().sort()
