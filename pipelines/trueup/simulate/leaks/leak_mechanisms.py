"""Change events as leaks would change them: pure functions on frames with the columns of the event log.

The functions read and change `record_key`, `session_key`, `started_at`, `quantity_micros`, `amount_micros`, `currency` and
`billed_at`. Other columns may be present, of any type. Money and quantities are int64 millionths, times UTC microseconds. Each
function takes the rows that leak. The function returns rows that replace these rows, or rows to add. The simulated operator and an
injected copy of a real log use the same code. An unbilled session needs no function: remove its charge.
"""

from __future__ import annotations

import polars as pl

from trueup.units import MICROS

_WIDE = pl.Int128


def half_even(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Return `numerator / denominator` of whole numbers rounded half to even, in 128 bits; both ≥ 0, the denominator > 0."""
    top, bottom = numerator.cast(_WIDE), denominator.cast(_WIDE)
    whole, twice = top // bottom, 2 * (top % bottom)
    up = (twice > bottom) | ((twice == bottom) & (whole % 2 == 1))
    return (whole + up.cast(_WIDE)).cast(pl.Int64)


def flat_price(quantity_micros: pl.Expr, price_micros: pl.Expr, price_per: pl.Expr) -> pl.Expr:
    """Return the amount in micros: half-even(price_micros × quantity_micros / (1e6 × price_per))."""
    return half_even(price_micros.cast(_WIDE) * quantity_micros.cast(_WIDE), price_per.cast(_WIDE) * MICROS)


def scale_quantities(charges: pl.DataFrame, permille: pl.Series, *, unit_micros: int = MICROS) -> pl.DataFrame:
    """Scale quantities (down to whole units) and their amounts in proportion: under- and over-quantity."""
    share = pl.lit(permille.cast(_WIDE))
    quantity = (pl.col("quantity_micros").cast(_WIDE) * share // (1_000 * unit_micros) * unit_micros).cast(pl.Int64)
    amount = half_even(pl.col("amount_micros").cast(_WIDE) * quantity.cast(_WIDE), pl.col("quantity_micros"))
    return charges.with_columns(quantity_micros=quantity, amount_micros=amount)


def reprice(charges: pl.DataFrame, price_micros: pl.Expr, price_per: pl.Expr) -> pl.DataFrame:
    """Price the charge's own quantity at another price: a wrong tariff version."""
    return charges.with_columns(amount_micros=flat_price(pl.col("quantity_micros"), price_micros, price_per))


def scale_amounts(amount_micros: pl.Series, permille: pl.Series) -> pl.Series:
    """Return the amounts times `permille` / 1000: a wrong price."""
    rows = pl.DataFrame({"amount_micros": amount_micros, "permille": permille})
    return rows.select(half_even(pl.col("amount_micros").cast(_WIDE) * pl.col("permille"), pl.lit(1_000))).to_series()


def round_up_amounts(charges: pl.DataFrame, step_micros: int) -> pl.DataFrame:
    """Round amounts up to the next multiple of `step_micros`: wrong rounding."""
    return charges.with_columns(amount_micros=-(-pl.col("amount_micros") // step_micros) * step_micros)


def bill_in_increments(charges: pl.DataFrame, increment: int, price_micros: pl.Expr, price_per: pl.Expr) -> pl.DataFrame:
    """Bill started increments (whole units) at an unchanged quantity: a wrong increment."""
    step = increment * MICROS
    rounded_up = -(-pl.col("quantity_micros") // step) * step
    return charges.with_columns(amount_micros=flat_price(rounded_up, price_micros, price_per))


def zero_amounts(charges: pl.DataFrame) -> pl.DataFrame:
    """Set amounts to 0: a session zero-rated by mistake."""
    return charges.with_columns(amount_micros=pl.lit(0, pl.Int64))


def convert_amounts(charges: pl.DataFrame, rate_micros: int) -> pl.DataFrame:
    """Convert the amount at `rate_micros` (millionths) and keep the currency label: a currency mistake."""
    return charges.with_columns(amount_micros=half_even(pl.col("amount_micros").cast(_WIDE) * rate_micros, pl.lit(MICROS)))


def relabel_currency(charges: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Change the currency label and keep the amount: a currency mistake."""
    return charges.with_columns(currency=pl.lit(currency))


def duplicate_charges(charges: pl.DataFrame, after_us: pl.Series) -> pl.DataFrame:
    """Return second charges, equal except for `billed_at`. The caller gives them line ids of their own."""
    return charges.with_columns(billed_at=pl.col("billed_at") + _to_microseconds(after_us))


def reverse_charges(charges: pl.DataFrame, after_us: pl.Series) -> pl.DataFrame:
    """Return later credits with the negative amounts. The caller gives them line ids of their own."""
    return duplicate_charges(charges, after_us).with_columns(amount_micros=-pl.col("amount_micros"))


def make_phantoms(charges: pl.DataFrame, shift_us: pl.Series, session_key: pl.Series) -> pl.DataFrame:
    """Return charges without usage: copies moved in time under unused keys. The caller gives them line ids of their own."""
    shift = _to_microseconds(shift_us)
    return charges.with_columns(
        started_at=pl.col("started_at") + shift, billed_at=pl.col("billed_at") + shift, session_key=session_key
    )


def delay_charges(charges: pl.DataFrame, billed_at: pl.Series) -> pl.DataFrame:
    """Set a later time at which charges are billed and delivered: late charges."""
    return charges.with_columns(billed_at=billed_at)


def resend_with_less(records: pl.DataFrame, permille: int) -> pl.DataFrame:
    """Return conflicting re-sends of usage or charges: the same record key with a smaller quantity or amount.

    A charge gets a smaller amount, usage a smaller quantity in whole units; each row must be large enough for that.
    """
    column = "amount_micros" if "amount_micros" in records.columns else "quantity_micros"
    step = 1 if column == "amount_micros" else MICROS
    reduced = (pl.col(column).cast(_WIDE) * permille // (1_000 * step) * step).cast(pl.Int64)
    return records.with_columns(reduced.alias(column))


def _to_microseconds(values: pl.Series) -> pl.Expr:
    return pl.lit(values.cast(pl.Duration("us")))
