"""Reasons of misrated findings: find the single billing mistake that gives exactly the billed amount."""

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
    "direction", "zone", "trunk", "subscriber", "peer", "currency", "start_us", "order",
)  # fmt: skip
"""The columns of a misrated pair: its owner, and everything that its price depends on."""


def add_misrating_reason(changes: pl.DataFrame, misrated: Sequence[pl.DataFrame], terms: Terms, pools: Pools) -> pl.DataFrame:
    """Add the `reason` of misrated findings to changes; `misrated` are their pairs (`JUDGED`) as classified at `judged_at`.

    Only pairs of reported findings are examined, all at once, because the hypotheses cost little more for many pairs. `judged_at`
    is dropped.
    """
    reported = changes.filter(pl.col("kind") == "misrated").select("owner_no", at="judged_at").unique()
    if reported.is_empty():
        return changes.drop("judged_at")
    pairs = pl.concat(misrated, how="vertical_relaxed").join(reported, on=["owner_no", "at"], how="semi")
    why = pairs.select("owner_no", judged_at="at").with_columns(why=misrating_reason(pairs, terms, pools))
    joined = changes.join(why, on=["owner_no", "judged_at"], how="left", maintain_order="left")
    reason = pl.when(pl.col("kind") == "misrated").then("why")
    return joined.with_columns(reason=pl.coalesce("reason", reason)).drop("why", "judged_at")


def misrating_reason(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.Series:
    """Return the `reason` of each misrated pair: the one mistake that gives exactly the billed amount; NULL if none does.

    `pairs` have the columns that `price_sessions` takes, with `charge_quantity`, `usage_quantity` and `billed_micros`. Pairs
    with a flat price have no reason.
    """
    charged = pl.coalesce("charge_quantity", "usage_quantity")
    rows = pairs.with_row_index("call").with_columns(charged=charged, edition=pl.Series(terms.edition_at(pairs["at"].to_numpy())))
    reasons = [pl.DataFrame(schema={"call": pl.Int64, "reason": pl.String})]
    for (number,), of_edition in rows.filter(pl.col("price_micros").is_null()).group_by("edition", maintain_order=True):
        assert isinstance(number, int)
        if number < 0:
            continue
        book = terms.editions[number].book
        pooled, pool_calls = pools.calls_of(of_edition, "charged")
        unpooled = of_edition.join(pooled.select(pl.col("call").cast(pl.UInt32)), on="call", how="anti")
        reasons += [
            _find_reasons(calls_of(unpooled, "charged"), of_edition, book, None),
            _find_reasons(pooled, of_edition, book, pool_calls),
        ]
    known = pl.concat(reasons).with_columns(pl.col("call").cast(pl.UInt32))
    return rows.select("call").join(known, on="call", how="left", maintain_order="left")["reason"]


def _find_reasons(calls: pl.DataFrame, pairs: pl.DataFrame, book: Book, others: pl.DataFrame | None) -> pl.DataFrame:
    """Return `call` and `reason` of calls, by the billed amounts of their pairs."""
    if calls.is_empty():
        return pl.DataFrame(schema={"call": pl.Int64, "reason": pl.String})
    billed = pairs.select(pl.col("call").cast(pl.Int64), "billed_micros")
    return explain_billed_amount(calls, billed, book, others).select("call", reason="cause")
