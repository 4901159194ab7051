"""Why a price is wrong: what billing must have done to come to its amount."""

from __future__ import annotations

import polars as pl

from trueup.rating.alternatives import alternatives
from trueup.rating.book import Book
from trueup.reconcile.calls import calls_of
from trueup.reconcile.pools import Pools
from trueup.reconcile.terms import Terms


def misrating(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.Series:
    """`reason` of each misrated pair: the one mistake that makes exactly the amount that was billed, NULL where none does.

    `pairs` are as `priced` takes them, with `charge_quantity`, `usage_quantity` and `billed_micros`. Of a flat price nothing is
    known but itself.
    """
    charged = pl.coalesce("charge_quantity", "usage_quantity")
    rows = pairs.with_row_index("call").with_columns(charged=charged, edition=pl.Series(terms.edition_at(pairs["at"].to_numpy())))
    told = [pl.DataFrame(schema={"call": pl.Int64, "reason": pl.String})]
    for (number,), mine in rows.filter(pl.col("price_micros").is_null()).group_by("edition", maintain_order=True):
        assert isinstance(number, int)
        if number < 0:
            continue
        book = terms.editions[number].book
        shared, others = pools.calls_of(mine, "charged")
        alone = mine.join(shared.select(pl.col("call").cast(pl.UInt32)), on="call", how="anti")
        told += [_reasons(calls_of(alone, "charged"), mine, book, None), _reasons(shared, mine, book, others)]
    found = pl.concat(told).with_columns(pl.col("call").cast(pl.UInt32))
    return rows.select("call").join(found, on="call", how="left", maintain_order="left")["reason"]


def _reasons(calls: pl.DataFrame, pairs: pl.DataFrame, book: Book, others: pl.DataFrame | None) -> pl.DataFrame:
    """`call` and `reason` of calls, by what their pairs were billed."""
    if calls.is_empty():
        return pl.DataFrame(schema={"call": pl.Int64, "reason": pl.String})
    billed = pairs.select(pl.col("call").cast(pl.Int64), "billed_micros")
    return alternatives(calls, billed, book, others).select("call", reason="cause")
