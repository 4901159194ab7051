"""The price of units: by the flat price of their policy, else by the tariff book as known at their position."""

from __future__ import annotations

import polars as pl

from trueup.rating.book import Book
from trueup.rating.flat import flat_price
from trueup.rating.rate import rate
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import NO_POOLS, Pools
from trueup.reconcile.pricing.calls import PRICED, calls_of

NO_TARIFF = "no_tariff"
"""The reason of a unit with neither a flat price nor a tariff book."""


def price_sessions(rows: pl.DataFrame, terms: Terms, pools: Pools = NO_POOLS, *, quantity: str = "quantity_micros") -> pl.DataFrame:
    """Return `PRICED` of each row, in its order: the price of its quantity, or the reason why there is none.

    A row has `at`, `scope`, `subscriber`, `service`, `direction`, `zone`, `trunk`, `peer`, `plan`, `start_us`, `order` (an event
    id) and the quantity. A request also has the `currency` of its booking and its policy's `price_micros`, `price_per` and
    `price_currency`. A NULL quantity has no price and no reason. A row with a `pool_session_id` has the price that its pool leaves
    for that quantity.
    """
    # A policy may price the service in another currency since then: in its own currency such usage has no price.
    flat = pl.col("price_micros").is_not_null() & (pl.col("currency") == pl.col("price_currency"))
    price = flat_price(pl.col(quantity), pl.col("price_micros"), pl.col("price_per"))
    foreign_currency = pl.when(pl.col("price_micros").is_not_null() & ~flat).then(pl.lit("other_currency"))
    priced = rows.select(expected_micros=pl.when(flat).then(price), reason=foreign_currency)
    by_book = rows["price_micros"].is_null() & rows[quantity].is_not_null()
    if not by_book.any():
        return priced.cast(PRICED)  # type: ignore[arg-type]
    numbered = rows.with_row_index("call").filter(by_book)
    pooled = pools.price(numbered, quantity)
    unpooled = numbered.join(pooled, on="call", how="anti") if pooled.height else numbered
    from_book = pl.concat([pooled, _price_by_book(unpooled, terms, quantity)])
    joined = priced.with_row_index("call").join(from_book, on="call", how="left", suffix="_book").sort("call")
    return joined.select(pl.coalesce(n, f"{n}_book").cast(t).alias(n) for n, t in PRICED.items())


def _price_by_book(rows: pl.DataFrame, terms: Terms, quantity: str) -> pl.DataFrame:
    """Return `call` and `PRICED` of rows, each by the edition known at its position."""
    edition = pl.Series("edition", terms.edition_at(rows["at"].to_numpy()))
    priced = []
    for (number,), of_edition in rows.with_columns(edition).group_by("edition", maintain_order=True):
        assert isinstance(number, int)
        if number < 0:
            unpriced = {"expected_micros": pl.lit(None, pl.Int128), "reason": pl.lit(NO_TARIFF)}
            priced.append(of_edition.select(pl.col("call").cast(pl.Int64), **unpriced))
        else:
            priced.append(_rate_sessions(of_edition, terms.editions[number].book, quantity))
    empty = pl.DataFrame(schema={"call": pl.Int64, **PRICED})
    return pl.concat([empty, *priced]).with_columns(pl.col("call").cast(pl.UInt32))


def _rate_sessions(rows: pl.DataFrame, book: Book, quantity: str) -> pl.DataFrame:
    amounts = rate(calls_of(rows, quantity), book).amounts
    return amounts.select("call", expected_micros="amount_micros", reason="reason")
