"""Price records by a tariff book: exactly, rounded where the tariff declares it, and with all parts of each price."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.rating.allowances import SHARE, apply_allowances_and_tiers
from trueup.rating.amounts import TOO_LARGE, amounts_of
from trueup.rating.book import Book
from trueup.rating.portability import with_rated_peers
from trueup.rating.rate_selection import candidates
from trueup.rating.segments import SEGMENT, segment_calls
from trueup.rating.slots import with_bases

CALL: dict[str, pl.DataType] = {
    "call": pl.Int64(),  # the caller's own number, each once
    "service": pl.String(),
    "plan": pl.String(),
    "direction": pl.String(),
    "zone": pl.String(),
    "trunk": pl.String(),
    "peer": pl.String(),
    "own_number": pl.String(),  # of the subscriber, to which the origin of a rate applies
    "account": pl.String(),
    "subscriber": pl.String(),
    "currency": pl.String(),  # the requested currency; NULL means the tariff's own
    "start_us": pl.Int64(),
    "quantity_micros": pl.Int64(),
    "order": pl.Binary(),  # an event id, which orders records that begin at the same time
    "cycle_day": pl.Int64(),  # the day on which the subscriber's billing cycle begins; NULL: the first of the month
}
"""A record to be priced."""
AMOUNT: dict[str, pl.DataType] = {
    "call": pl.Int64(),
    "amount_micros": pl.Int128(),  # NULL if the record cannot be priced
    "currency": pl.String(),
    "reason": pl.String(),  # why it cannot be priced
    "tariff_code": pl.String(),  # of the rate of its first piece
}
NO_PLAN, NO_RATE, BEFORE_ANY_TARIFF, NO_QUANTITY = "no_plan", "no_rate", "before_any_tariff", "no_quantity"
MOST_MICROS = 2**61
"""A larger quantity could exceed 64 bits when it is rounded up to whole increments."""


@dataclass(frozen=True)
class RatingResult:
    """`amounts` as in `AMOUNT`, one row for each of `calls` in their order; `parts` as in `SHARE`, the shares of each amount."""

    amounts: pl.DataFrame
    parts: pl.DataFrame
    calls: pl.DataFrame


def rate(calls: pl.DataFrame, book: Book) -> RatingResult:
    """Price records (`CALL`) by a book; where allowances or tiers apply, all records of their period must be among them.

    A call with a true `aside`, if that column exists, is a what-if. A what-if is priced in the order of its start, and takes no
    free units or tiers from the other calls. An amount is a sum of exact fractions. The amount is rounded at the stage and to the
    decimals of its tariff, and finally to millionths.
    """
    able = rateable(calls, book)
    if able.is_empty() or book.rates.is_empty():
        nothing = _to_amount_rows(
            calls, pl.DataFrame(schema=AMOUNT), _find_unpriced_reason(calls, calls.select("call").clear(), book)
        )
        return RatingResult(nothing, pl.DataFrame(schema=SHARE), calls)
    parts, unpriced = shares_of(able, book)
    priced = amounts_of(parts, able, book)
    return RatingResult(_to_amount_rows(calls, priced, _find_unpriced_reason(calls, unpriced, book)), parts, calls)


def rateable(calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return the records with every value that pricing needs; a ported peer is replaced by the number whose price applies."""
    complete = calls.drop_nulls(["service", "start_us", "quantity_micros"]).filter(pl.col("quantity_micros") <= MOST_MICROS)
    return with_rated_peers(complete, book)


def shares_of(able: pl.DataFrame, book: Book) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the shares (`SHARE`) of rateable records, and the records without a valid rate (`call`, `begun`).

    Fees, rounding, decimals and tax of a rate do not change the shares.
    """
    found = candidates(able, book)
    cut, unpriced = segment_calls(able.join(found, on="call", how="semi"), found, book) if found.height else (
        pl.DataFrame(schema=SEGMENT), pl.DataFrame(schema={"call": pl.Int64, "begun": pl.Boolean})
    )  # fmt: skip
    return apply_allowances_and_tiers(cut, able, book) if book.has_shared_terms else _convert_to_shares(cut, book), unpriced


def _convert_to_shares(cut: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return pieces as shares that no allowance covers."""
    nothing = {"share": pl.lit(0, pl.Int64), "allowance": pl.lit(None, pl.String)}
    return with_bases(cut, book.slots).with_columns(**nothing).select(*SHARE)


def _to_amount_rows(calls: pl.DataFrame, priced: pl.DataFrame, why: pl.DataFrame) -> pl.DataFrame:
    """Return one row of `AMOUNT` for each call, in their order."""
    joined = calls.select("call").join(priced, on="call", how="left", maintain_order="left")
    joined = joined.join(why, on="call", how="left", maintain_order="left")
    reason = pl.when(pl.col("amount_micros").is_null()).then(pl.coalesce("reason", "why"))
    return joined.with_columns(reason=reason).select(pl.col(n).cast(t) for n, t in AMOUNT.items())


def _find_unpriced_reason(calls: pl.DataFrame, unpriced: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return the reason (`why`) for which each call may have no price."""
    early = unpriced.filter(~pl.col("begun")).select("call", early=pl.lit(True)) if "begun" in unpriced.columns else None
    asked_calls = calls.select("call", "plan", "service", "start_us", "quantity_micros")
    asked_calls = (
        asked_calls.join(early, on="call", how="left")
        if early is not None
        else asked_calls.with_columns(early=pl.lit(None, pl.Boolean))
    )
    planned = book.rates.filter(pl.col("plan").is_not_null())["service"].unique().implode()
    why = (
        pl.when(pl.col("quantity_micros").is_null() | pl.col("start_us").is_null()).then(pl.lit(NO_QUANTITY))
        .when(pl.col("quantity_micros") > MOST_MICROS).then(pl.lit(TOO_LARGE))
        .when("early").then(pl.lit(BEFORE_ANY_TARIFF))
        .when(pl.col("plan").is_null() & pl.col("service").is_in(planned)).then(pl.lit(NO_PLAN))
        .otherwise(pl.lit(NO_RATE))
    )  # fmt: skip
    return asked_calls.select("call", why=why)
