"""Add shares to one amount: exact fractions in 128 bits, rounded at their stage."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.rating.book import Book
from trueup.units import MICROS

_ONE = float(MICROS)
"""The largest unit to which an amount is rounded: one whole unit of the currency."""
_WIDE = pl.Int128()
_MOST = 1.6e38
"""The largest amount that is computed; it is less than the largest value of 128 bits."""
TOO_LARGE, NO_EXCHANGE_RATE = "amount_too_large", "no_exchange_rate"
_TERMS = [
    "currency", "setup_micros", "minimum_micros", "maximum_micros", "rounding", "decimals", "rounding_stage", "tax_micros",
    "tax_included", "tariff_code",
]  # fmt: skip


def amounts_of(parts: pl.DataFrame, calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return `call`, `amount_micros`, `currency`, `reason` and `tariff_code` of the calls with the shares `parts`.

    Set-up fee, minimum, tax and rounding of a record come from the rate of its first piece. A record of quantity 0, or
    fully covered by allowances, costs 0.
    """
    net = _sum_shares(parts, book)
    terms = net.join(book.rates.select("rate", *_TERMS), on="rate", how="left")
    wanted = calls.select("call", "start_us", wanted="currency")
    terms = terms.join(wanted, on="call").with_columns(wanted=pl.coalesce("wanted", "currency"))
    taxed = _add_tax(_with_fees(terms, book.common_per))
    rounded = _round_at_stage(taxed, "total")
    exchanged = _convert_currency(rounded, book)
    amount = rounded_div(pl.col("net"), pl.col("per"), pl.col("rounding"))
    return exchanged.select(
        "call", "tariff_code", currency="wanted", reason=pl.when("too_large").then(pl.lit(TOO_LARGE)).otherwise("reason"),
        amount_micros=pl.when(~pl.col("too_large") & pl.col("reason").is_null()).then(amount),
    )  # fmt: skip


def _sum_shares(parts: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Add the shares of each call.

    `net` / `per` is the price in millionths, `rate` the rate of the first piece without tiers.
    """
    prices = pl.concat([frame.select("rate", "price_micros", "price_per") for frame in (book.rates, book.slots)])
    terms = book.rates.select("rounding", "decimals", "rounding_stage", base="rate")
    rows = parts.join(prices, on="rate", how="left").join(terms, on="base", how="left")
    per = book.common_per * MICROS
    paid = (pl.col("charged_micros") - pl.col("free_micros")).cast(_WIDE)
    size = paid.cast(pl.Float64).abs() * pl.col("price_micros").cast(pl.Float64).abs() * (book.common_per / pl.col("price_per"))
    rows = rows.with_columns(paid=paid, size=size)
    exact = (
        pl.col("paid") * pl.col("price_micros").cast(_WIDE) * (pl.lit(book.common_per, _WIDE) // pl.col("price_per").cast(_WIDE))
    )
    rows = rows.with_columns(net=pl.when(pl.col("size") < _MOST).then(exact).otherwise(0))
    by_increment = ((pl.col("rounding_stage") == "increment") & pl.col("decimals").is_not_null()).fill_null(False)
    if rows.select(by_increment.any()).item():
        rows = _price_by_increment(rows, by_increment, per)
    if rows["call"].is_unique().all():
        return rows.select("call", "net", "size", "paid", pl.lit(per, _WIDE).alias("per"), rate="base")
    return rows.sort("call", "piece", "share").group_by("call", maintain_order=True).agg(
        pl.col("base").first().alias("rate"), pl.col("net", "size", "paid").sum(), per=pl.lit(per, _WIDE).first()
    )  # fmt: skip


def _price_by_increment(rows: pl.DataFrame, applies: pl.Expr, per: int) -> pl.DataFrame:
    """Price shares whose increments are rounded one by one; increments are counted from the beginning of the share."""
    step = pl.coalesce("increment_micros", "paid").cast(_WIDE)
    step = pl.when(step == 0).then(pl.lit(1, _WIDE)).otherwise(step)

    def price(quantity: pl.Expr) -> pl.Expr:
        over = pl.col("price_per").cast(_WIDE) * MICROS
        return to_decimals(quantity * pl.col("price_micros").cast(_WIDE), over)

    # Rounding up many small increments may give a large amount.
    many = pl.col("paid").cast(pl.Float64) / pl.col("step").cast(pl.Float64) + 1
    rounded = pl.max_horizontal("size", pl.col("size") + many * _ONE * float(per))
    rows = rows.with_columns(step=step).with_columns(size=pl.when(applies).then(rounded).otherwise("size"))
    whole, rest = pl.col("paid") // pl.col("step"), pl.col("paid") % pl.col("step")
    net = (whole * price(pl.col("step")) + price(rest)) * pl.lit(per, _WIDE)
    fits = pl.col("size") < _MOST
    return rows.with_columns(net=pl.when(applies & fits).then(net).when(applies).then(0).otherwise("net")).drop("step")


def _with_fees(rows: pl.DataFrame, common_per: int) -> pl.DataFrame:
    """Add the set-up fee, raise to the minimum, limit to the maximum, and round amounts that are rounded before tax."""
    something = pl.col("paid") > 0
    setup = pl.when(something).then(pl.col("setup_micros").fill_null(0)).otherwise(0).cast(_WIDE) * pl.col("per")
    least = pl.when(something).then(pl.col("minimum_micros")).cast(_WIDE) * pl.col("per")
    limit = _MOST / (common_per * MICROS)
    fees = pl.max_horizontal(pl.col("setup_micros", "minimum_micros", "maximum_micros").cast(pl.Float64).abs()).fill_null(0)
    too_large = (pl.col("size") >= _MOST) | (fees >= limit) | (pl.col("size") + fees * common_per * MICROS >= _MOST)
    whole = pl.col("net") + setup
    net = pl.max_horizontal(whole, pl.coalesce(least, whole))
    if rows["maximum_micros"].null_count() < rows.height:
        net = pl.min_horizontal(net, pl.col("maximum_micros").cast(_WIDE) * pl.col("per"))
    return _round_at_stage(rows.with_columns(net=net, too_large=too_large), "record")


def _add_tax(rows: pl.DataFrame) -> pl.DataFrame:
    """Add tax where prices exclude it."""
    taxable = (pl.col("tax_micros").fill_null(0) != 0) & ~pl.col("tax_included").fill_null(False)
    if not rows.select(taxable.any()).item():
        return rows
    factor = pl.when(taxable).then(pl.col("tax_micros").cast(_WIDE) + MICROS).otherwise(1).cast(_WIDE)
    over = pl.when(taxable).then(MICROS).otherwise(1).cast(_WIDE)
    return _multiply_amounts(rows, factor, over)


def _convert_currency(rows: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Convert amounts to the requested currency, at the exchange rate in force when the record began."""
    foreign = pl.col("currency") != pl.col("wanted")
    if not rows.select(foreign.any()).item():
        return rows.with_columns(reason=pl.lit(None, pl.String))
    table = book.exchange.select(
        "currency", "from_us", "to_us", "price_micros", "price_per", wanted="to_currency"
    )  # fmt: skip
    offers = rows.filter(foreign).join(table, on=["currency", "wanted"])
    fits = offers.filter(pl.col("start_us").is_between("from_us", "to_us", closed="left")).unique("call", keep="first")
    found = rows.join(fits.select("call", factor="price_micros", over="price_per"), on="call", how="left")
    missing = foreign & pl.col("factor").is_null()
    found = found.with_columns(reason=pl.when(missing).then(pl.lit(NO_EXCHANGE_RATE)))
    factor = pl.when(foreign).then(pl.col("factor")).otherwise(1).fill_null(1).cast(_WIDE)
    over = pl.when(foreign).then(pl.col("over").cast(_WIDE) * MICROS).otherwise(1).fill_null(1).cast(_WIDE)
    return _multiply_amounts(found, factor, over)


def _multiply_amounts(rows: pl.DataFrame, factor: pl.Expr, over: pl.Expr) -> pl.DataFrame:
    """Multiply amounts by a fraction, and mark those that may not fit 128 bits."""
    rows = _reduce_fractions(rows.with_columns(by=factor, over_by=over))
    size = pl.col("net").cast(pl.Float64).abs() * pl.col("by").cast(pl.Float64).abs()
    below = pl.col("per").cast(pl.Float64) * pl.col("over_by").cast(pl.Float64)
    # Rounding doubles a remainder, which is less than the denominator.
    fits = (size < _MOST) & (below < _MOST / 2)
    return rows.with_columns(
        net=pl.when(fits).then(pl.col("net") * pl.col("by")).otherwise(0),
        per=pl.when(fits).then(pl.col("per") * pl.col("over_by")).otherwise(1), too_large=pl.col("too_large") | ~fits,
    ).drop("by", "over_by", "factor", "over", strict=False)  # fmt: skip


def _reduce_fractions(rows: pl.DataFrame) -> pl.DataFrame:
    """Reduce the fraction `by` / `over_by`: 1.19 becomes 119 / 100, so that larger amounts fit."""
    pair = rows.select(pl.col("by", "over_by").cast(pl.Int64, strict=False).fill_null(1))
    common = pl.Series(np.gcd(pair["by"].to_numpy(), pair["over_by"].to_numpy())).cast(_WIDE)
    return rows.with_columns(by=pl.col("by") // common, over_by=pl.col("over_by") // common)


def _round_at_stage(rows: pl.DataFrame, stage: str) -> pl.DataFrame:
    """Round the amounts that are rounded at a stage to their decimals; the default stage is `total`."""
    applies = (pl.col("rounding_stage").fill_null("total") == stage) & pl.col("decimals").is_not_null()
    if not rows.select(applies.any()).item():
        return rows
    value = to_decimals(pl.col("net"), pl.col("per"))
    return rows.with_columns(
        net=pl.when(applies).then(value).otherwise("net"), per=pl.when(applies).then(pl.lit(1, _WIDE)).otherwise("per")
    )


def to_decimals(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Return a fraction of millionths rounded to a tariff's `decimals` by its `rounding`, as whole millionths."""
    # The number of millionths in one unit of the last decimal.
    unit = pl.lit(10, pl.Int64).pow(6 - pl.col("decimals").fill_null(6)).cast(_WIDE)
    return rounded_div(numerator, denominator * unit, pl.col("rounding")) * unit


def rounded_div(numerator: pl.Expr, denominator: pl.Expr, rounding: pl.Expr) -> pl.Expr:
    """Round `numerator` / `denominator` (> 0) to an integer; up and half_up are away from zero, the default is half_even."""
    negative = numerator < 0
    size = pl.when(negative).then(numerator * -1).otherwise(numerator)
    whole, rest = size // denominator, size % denominator
    # Compares twice the remainder with the divisor, without doubling a number that may be near the limit.
    other = denominator - rest
    up = (
        pl.when(rounding == "up").then(rest > 0).when(rounding == "down").then(pl.lit(False))
        .when(rounding == "half_up").then((rest >= other) & (rest > 0))
        .otherwise((rest > other) | ((rest == other) & (whole % 2 == 1)))
    )  # fmt: skip
    rounded = whole + up.cast(_WIDE)
    return pl.when(negative).then(rounded * -1).otherwise(rounded)
