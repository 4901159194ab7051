"""Why a price is wrong: what billing must have done to come to its amount."""

from __future__ import annotations

import polars as pl

from trueup.rating.alternatives import alternatives
from trueup.reconcile.price import calls_of
from trueup.reconcile.terms import Terms


def misrating(pairs: pl.DataFrame, terms: Terms) -> pl.Series:
    """`reason` of each misrated pair: the one mistake that makes exactly the amount that was billed, NULL where none does.

    `pairs` are as `priced` takes them, with `charge_quantity`, `usage_quantity` and `billed_micros`. Of a flat price nothing is
    known but itself.
    """
    charged = pl.coalesce("charge_quantity", "usage_quantity")
    rows = pairs.with_row_index("call").with_columns(charged=charged, edition=pl.Series(terms.edition_at(pairs["at"].to_numpy())))
    told = []
    for (number,), mine in rows.filter(pl.col("price_micros").is_null()).group_by("edition", maintain_order=True):
        assert isinstance(number, int)
        if number >= 0:
            billed = mine.select(pl.col("call").cast(pl.Int64), "billed_micros")
            told.append(alternatives(calls_of(mine, "charged"), billed, terms.editions[number].book).select("call", reason="cause"))
    if not told:
        return pl.repeat(None, pairs.height, dtype=pl.String, eager=True).alias("reason")
    found = pl.concat(told).with_columns(pl.col("call").cast(pl.UInt32))
    return rows.select("call").join(found, on="call", how="left", maintain_order="left")["reason"]
