"""Write a tariff book as CSV columns of a source of the stream `tariff`: decimals instead of millionths."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from trueup.rating.book import TARIFF

_MICROS = "_micros"


def in_units(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `TARIFF` in the columns of a CSV source; empty columns are left out."""
    named = [series.name for series in rows.select(*TARIFF) if series.null_count() < rows.height]
    return rows.select(
        _format_decimal(n).alias(n.removesuffix(_MICROS)) if n.endswith(_MICROS)
        else pl.col(n).dt.strftime("%Y-%m-%dT%H:%M:%SZ") if TARIFF[n] == pl.Datetime("us", "UTC") else pl.col(n)
        for n in named
    )  # fmt: skip


def as_decimal(micros: pl.Expr) -> pl.Expr:
    """Return millionths as an exact decimal number."""
    return micros.cast(pl.Decimal(38, 0)) * pl.lit(Decimal("0.000001"))


def _format_decimal(name: str) -> pl.Expr:
    text = as_decimal(pl.col(name)).cast(pl.String)
    return text.str.strip_chars_end("0").str.strip_chars_end(".")
