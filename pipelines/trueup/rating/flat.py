"""Price a quantity by a flat price per unit."""

from __future__ import annotations

import polars as pl

from trueup.units import MICROS

_MOST_IN_64_BITS = 2**62
"""The largest product and divisor for which twice the remainder still fits in 64 bits."""


def flat_price(quantity_micros: pl.Expr, price_micros: pl.Expr, price_per: pl.Expr) -> pl.Expr:
    """Return the price of a quantity in millionths of the currency, as Int128; NULL where there is no price.

    `price_micros` is the price of `price_per` whole units. Computed in 128 bits and rounded once, half to even, so that the price
    is exact and symmetric in sign.
    """
    return _divide_half_even(quantity_micros.cast(pl.Int128) * price_micros.cast(pl.Int128), price_per.cast(pl.Int128) * MICROS)


def flat_prices(quantities_micros: pl.Series, price_micros: int, price_per: int) -> pl.Series:
    """Return the `flat_price` of each quantity at one price; compute in 64 bits where they suffice, because that is quicker."""
    least, greatest = quantities_micros.min(), quantities_micros.max()
    if least is None or greatest is None:
        return quantities_micros.cast(pl.Int128)
    assert isinstance(least, int) and isinstance(greatest, int)
    divisor = price_per * MICROS
    fits = max(max(-least, greatest) * abs(price_micros), divisor) <= _MOST_IN_64_BITS
    number = pl.Int64() if fits else pl.Int128()
    product = pl.col("quantity").cast(number) * pl.lit(price_micros, number)
    rounded = _divide_half_even(product, pl.lit(divisor, number)).cast(pl.Int128)
    return quantities_micros.alias("quantity").to_frame().select(expected_micros=rounded).to_series()


def _divide_half_even(product: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Return a product divided by a positive number, rounded half to even."""
    whole, twice = product // divisor, (product % divisor) * 2
    up = (twice > divisor) | ((twice == divisor) & (whole % 2 == 1))
    return whole + up.cast(pl.Int8)
