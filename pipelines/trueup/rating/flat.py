"""Price a quantity by a flat price per unit."""

from __future__ import annotations

import polars as pl

from trueup.units import MICROS


def flat_price(quantity_micros: pl.Expr, price_micros: pl.Expr, price_per: pl.Expr) -> pl.Expr:
    """Return the price of a quantity in millionths of the currency, as Int128; NULL where there is no price.

    `price_micros` is for `price_per` whole units. Computed in 128 bits and rounded once, half to even, so that the price is
    exact and symmetric in sign.
    """
    divisor = price_per.cast(pl.Int128) * MICROS
    product = quantity_micros.cast(pl.Int128) * price_micros.cast(pl.Int128)
    whole, twice = product // divisor, (product % divisor) * 2
    up = (twice > divisor) | ((twice == divisor) & (whole % 2 == 1))
    return whole + up.cast(pl.Int128)
