"""Why a price is wrong: what billing must have done to come to its amount."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trueup.rating.book import Book
from trueup.rating.error_hypotheses import explain_billed_amount
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import Pools
from trueup.reconcile.pricing.calls import calls_of

JUDGED = (
    "owner_no", "at", "pool_session_id", "price_micros", "charge_quantity", "usage_quantity", "billed_micros", "service", "plan",
    "direction",
    "zone", "trunk", "peer", "currency", "start_us", "order",
)  # fmt: skip
"""What is kept of a misrated pair, lest it be found: who it is, and all that its price is made of."""


def add_misrating_reason(told: pl.DataFrame, misrated: Sequence[pl.DataFrame], terms: Terms, pools: Pools) -> pl.DataFrame:
    """Changes of findings with the `reason` of those that are misrated; `misrated` are their pairs (`JUDGED`) as once judged.

    All are asked of at once, and none that is not told: trying what billing may have done costs hardly more for many. When the
    finding was judged is of no use any more.
    """
    asked = told.filter(pl.col("kind") == "misrated").select("owner_no", at="judged_at").unique()
    if asked.is_empty():
        return told.drop("judged_at")
    pairs = pl.concat(misrated, how="vertical_relaxed").join(asked, on=["owner_no", "at"], how="semi")
    why = pairs.select("owner_no", judged_at="at").with_columns(why=misrating_reason(pairs, terms, pools))
    both = told.join(why, on=["owner_no", "judged_at"], how="left", maintain_order="left")
    mine = pl.when(pl.col("kind") == "misrated").then("why")
    return both.with_columns(reason=pl.coalesce("reason", mine)).drop("why", "judged_at")


def misrating_reason(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.Series:
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
    return explain_billed_amount(calls, billed, book, others).select("call", reason="cause")
