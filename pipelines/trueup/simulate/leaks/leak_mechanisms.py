"""How leaks come about: pure functions on frames of events, with the columns of the event log.

They touch `record_key`, `session_key`, `started_at`, `quantity_micros`, `amount_micros`, `currency` and `billed_at`; every
other column may be there, of any type. Money and quantities are int64 millionths, times UTC microseconds. They
take the rows that shall leak and give back what stands in their place (or beside them), so that the simulated
operator and a copy of somebody's own log leak by the same code. A charge that is never made needs no function: leave it out.
"""

from __future__ import annotations

import polars as pl

_WIDE = pl.Int128
MICROS = 1_000_000


def half_even(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """`numerator / denominator` of whole numbers rounded half to even, in 128 bits; both at least 0, the second above 0."""
    top, bottom = numerator.cast(_WIDE), denominator.cast(_WIDE)
    whole, twice = top // bottom, 2 * (top % bottom)
    up = (twice > bottom) | ((twice == bottom) & (whole % 2 == 1))
    return (whole + up.cast(_WIDE)).cast(pl.Int64)


def flat_price(quantity_micros: pl.Expr, price_micros: pl.Expr, price_per: pl.Expr) -> pl.Expr:
    """Amount in micros: half-even(price_micros × quantity_micros / (1e6 × price_per))."""
    return half_even(price_micros.cast(_WIDE) * quantity_micros.cast(_WIDE), price_per.cast(_WIDE) * MICROS)


def scaled(charges: pl.DataFrame, permille: pl.Series, *, unit_micros: int = MICROS) -> pl.DataFrame:
    """Under- and over-quantity: quantities in proportion (down to whole units), and the amounts that go with them."""
    share = pl.lit(permille.cast(_WIDE))
    quantity = (pl.col("quantity_micros").cast(_WIDE) * share // (1_000 * unit_micros) * unit_micros).cast(pl.Int64)
    amount = half_even(pl.col("amount_micros").cast(_WIDE) * quantity.cast(_WIDE), pl.col("quantity_micros"))
    return charges.with_columns(quantity_micros=quantity, amount_micros=amount)


def repriced(charges: pl.DataFrame, price_micros: pl.Expr, price_per: pl.Expr) -> pl.DataFrame:
    """A wrong tariff version: the charge's own quantity at another price."""
    return charges.with_columns(amount_micros=flat_price(pl.col("quantity_micros"), price_micros, price_per))


def at_another_price(amount_micros: pl.Series, permille: pl.Series) -> pl.Series:
    """A wrong price: what amounts would be if the price had been so many thousandths."""
    both = pl.DataFrame({"amount_micros": amount_micros, "permille": permille})
    return both.select(half_even(pl.col("amount_micros").cast(_WIDE) * pl.col("permille"), pl.lit(1_000))).to_series()


def rounded_up(charges: pl.DataFrame, step_micros: int) -> pl.DataFrame:
    """Wrong rounding: amounts up to the next multiple of `step_micros`."""
    return charges.with_columns(amount_micros=-(-pl.col("amount_micros") // step_micros) * step_micros)


def in_increments(charges: pl.DataFrame, increment: int, price_micros: pl.Expr, price_per: pl.Expr) -> pl.DataFrame:
    """A wrong increment: the amount of begun increments (whole units), the quantity as it was."""
    step = increment * MICROS
    begun = -(-pl.col("quantity_micros") // step) * step
    return charges.with_columns(amount_micros=flat_price(begun, price_micros, price_per))


def zeroed(charges: pl.DataFrame) -> pl.DataFrame:
    """Zero-rated by mistake: charged, and nothing for it."""
    return charges.with_columns(amount_micros=pl.lit(0, pl.Int64))


def converted(charges: pl.DataFrame, rate_micros: int) -> pl.DataFrame:
    """A currency mistake: the figure is converted at `rate_micros` (millionths), the label stays."""
    return charges.with_columns(amount_micros=half_even(pl.col("amount_micros").cast(_WIDE) * rate_micros, pl.lit(MICROS)))


def relabelled(charges: pl.DataFrame, currency: str) -> pl.DataFrame:
    """A currency mistake: the label is another currency's, the figure stays."""
    return charges.with_columns(currency=pl.lit(currency))


def duplicated(charges: pl.DataFrame, after_us: pl.Series) -> pl.DataFrame:
    """The second charges of what was charged: equal but for `billed_at`; they need line ids of their own."""
    return charges.with_columns(billed_at=pl.col("billed_at") + _microseconds(after_us))


def reversed_(charges: pl.DataFrame, after_us: pl.Series) -> pl.DataFrame:
    """The credits that take charges back: the negative amounts, later; they need line ids of their own."""
    return duplicated(charges, after_us).with_columns(amount_micros=-pl.col("amount_micros"))


def phantom(charges: pl.DataFrame, shift_us: pl.Series, session_key: pl.Series) -> pl.DataFrame:
    """Charges for usage that never was: copies moved in time, under keys no usage has; they need line ids of their own."""
    shift = _microseconds(shift_us)
    return charges.with_columns(
        started_at=pl.col("started_at") + shift, billed_at=pl.col("billed_at") + shift, session_key=session_key
    )


def delayed(charges: pl.DataFrame, billed_at: pl.Series) -> pl.DataFrame:
    """Late charges: billed, hence delivered, at another time."""
    return charges.with_columns(billed_at=billed_at)


def resent(records: pl.DataFrame, permille: int) -> pl.DataFrame:
    """Conflicting re-sends, of usage or charges: the same record key with less in it, so that the first content counts.

    Charges lose amount, usage loses quantity (down to whole units); a row must have enough to lose.
    """
    losing = "amount_micros" if "amount_micros" in records.columns else "quantity_micros"
    step = 1 if losing == "amount_micros" else MICROS
    less = (pl.col(losing).cast(_WIDE) * permille // (1_000 * step) * step).cast(pl.Int64)
    return records.with_columns(less.alias(losing))


def _microseconds(values: pl.Series) -> pl.Expr:
    return pl.lit(values.cast(pl.Duration("us")))
