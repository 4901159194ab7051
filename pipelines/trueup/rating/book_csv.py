"""A tariff book as a person writes it: decimals instead of millionths, the columns of a source of the stream `tariff`."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from trueup.rating.book import TARIFF

_MICROS = "_micros"


def in_units(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `TARIFF` as a CSV source holds them; columns that say nothing are left away."""
    told = [series.name for series in rows.select(*TARIFF) if series.null_count() < rows.height]
    return rows.select(
        _decimal(n).alias(n.removesuffix(_MICROS)) if n.endswith(_MICROS)
        else pl.col(n).dt.strftime("%Y-%m-%dT%H:%M:%SZ") if TARIFF[n] == pl.Datetime("us", "UTC") else pl.col(n)
        for n in told
    )  # fmt: skip


def as_decimal(micros: pl.Expr) -> pl.Expr:
    """Millionths as the number they are of, exactly."""
    return micros.cast(pl.Decimal(38, 0)) * pl.lit(Decimal("0.000001"))


def _decimal(name: str) -> pl.Expr:
    text = as_decimal(pl.col(name)).cast(pl.String)
    return text.str.strip_chars_end("0").str.strip_chars_end(".")
