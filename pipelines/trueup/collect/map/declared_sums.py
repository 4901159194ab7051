"""Declared sums: reads the sum of a column that a trailer record declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal

import polars as pl

from trueup.collect.map.notation import plain_numbers, plain_seconds
from trueup.config import ColumnRule, SourceConfig
from trueup.errors import SourceError
from trueup.units import MICROS

_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e-2)?")
_MOST_CHARACTERS = 60
_EXACT = Context(prec=200)


def declared_micros(source: SourceConfig, declared: Mapping[str, str], *, where: str) -> dict[str, int]:
    """Return declared sums in millionths, by column; raise `SourceError` for a sum that is not a number.

    A sum is read like a value of its column: in the column's notation or kind of duration, and multiplied by its scale.
    """
    return {name: _parse_micros(name, text, source, where) for name, text in declared.items()}


def _parse_micros(name: str, text: str, source: SourceConfig, where: str) -> int:
    rule = source.columns.get(name, ColumnRule(column=name))
    texts = pl.Series([text], dtype=pl.String)
    if rule.duration is not None:
        plain = plain_seconds(texts, rule.duration)[0]
    else:
        # Later versions must be able to prove a unit's declared sum again, so sums are always read as in version 3.
        plain = plain_numbers(texts, rule.notation or source.notation, version=3)[0]
    if len(text) > _MOST_CHARACTERS or not _PLAIN.fullmatch(plain):
        raise SourceError(
            f"its header or trailer declares an invalid sum of {name}: {text[:_MOST_CHARACTERS]!r}", where=where,
            todo=f"have it delivered again, or correct the pattern in [source.framing] of source {source.name}",
        )  # fmt: skip
    value = _EXACT.multiply(_EXACT.create_decimal(plain), Decimal(rule.scale * MICROS))
    return int(value.to_integral_value(ROUND_HALF_EVEN, _EXACT))
