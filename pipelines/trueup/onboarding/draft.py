"""A draft of one source: a sample with its roles, and the decisions about it that depend on all samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import polars as pl

from trueup.collect.map.expressions.syntax import parse
from trueup.collect.map.notation import plain_numbers, plain_seconds
from trueup.config import NotationConfig, Stream
from trueup.errors import ConfigError
from trueup.onboarding.columns import Column, Records, records_of
from trueup.onboarding.evidence import Fit
from trueup.onboarding.known_formats import KnownFormat, known_format
from trueup.onboarding.layouts.detect import layout_of
from trueup.onboarding.layouts.layout import Layout
from trueup.onboarding.names import counters_in, name_score, unit_in
from trueup.onboarding.roles import Roles, roles_of
from trueup.onboarding.sample import Sample, read_sample
from trueup.units import UNITS, UnitName

_CARRY = 4_294_967_296
_LEGS = {"a": "b", "aleg": "bleg", "a-leg": "b-leg", "a_leg": "b_leg", "originating": "terminating"}
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Notation:
    """The notation of a source's numbers, and how many values another notation that fits as well would read differently."""

    notation: NotationConfig
    fit: Fit
    ambiguous: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Draft:
    """A sample, its layout and records, its roles, and the name of its source."""

    name: str
    sample: Sample
    layout: Layout
    records: Records
    roles: Roles
    known: KnownFormat | None = None
    """The preset that the sample fits."""

    @property
    def stream(self) -> Stream:
        """The stream to which the sample most likely belongs."""
        return self.roles.stream

    def column(self, role: str) -> Column | None:
        """Return the sample's column for an event column, if there is one."""
        return self.roles.columns.get(role)

    @property
    def is_mapped_by_name(self) -> bool:
        """Whether the format or stream maps the columns by itself, as for Asterisk call records and a tariff book."""
        return self.layout.format == "asterisk" or self.stream == "tariff"

    @cached_property
    def counters(self) -> dict[str, str]:
        """Columns of octets in and out, which add up to the volume."""
        found = counters_in(list(self.records.columns)) if self.known is None else {}
        both = {"in_low", "out_low"} <= set(found) or {"up", "down"} <= set(found)
        return {} if self.stream == "charge" or not both else found

    @cached_property
    def volume(self) -> str | None:
        """The expression of the volume, where counters add up to it."""
        found = {what: identifier(name) for what, name in self.counters.items()}
        if "in_low" not in found or "out_low" not in found:
            return f"{found['up']} + {found['down']}" if found else None
        carried = [f"COALESCE({found[what]}, 0)" for what in ("in_high", "out_high") if what in found]
        words = f" + {_CARRY} * ({' + '.join(carried)})" if carried else ""
        return f"{found['in_low']} + {found['out_low']}{words}"

    @property
    def unit(self) -> UnitName | None:
        """The unit of the quantity that its name or notation states."""
        if self.known is not None:
            return self.known.unit
        if self.counters:
            return "B"
        column = self.column("quantity")
        if column is None:
            return None
        return "s" if column.clocks else unit_in(column.name)

    @cached_property
    def notation(self) -> Notation:
        """The notation that fits most numbers of the source; where the delimiter is a semicolon, a decimal comma is more usual."""
        columns = [column for role in ("amount", "quantity") if (column := self.column(role)) and not column.clocks]
        tried = {repr(notation): notation for column in columns for notation, _ in column.notations}
        if not tried:
            return Notation(NotationConfig(), Fit(0, 0))
        texts = pl.concat([column.texts for column in columns])
        # The point in 0.012 is a decimal mark, because no number is grouped behind a zero.
        marks = {mark for mark in (".", ",") if texts.str.contains(rf"^[-+]?0[{mark}][0-9]").any()}
        fits = [
            (notation, _sum(column.fit_of(notation) for column in columns))
            for notation in tried.values()
            if notation.grouping not in marks
        ]
        prefers_comma = self.layout.settings.get("delimiter") == ";" and bool(texts.str.contains("[.,]").any())
        best, fit = max(fits, key=lambda entry: (entry[1].count, *_rank_preference(entry[0], prefers_comma=prefers_comma)))
        rivals = [notation for notation, other in fits if other.count == fit.count and notation != best]
        return Notation(best, fit, _count_other_readings(columns, best, rivals))

    @cached_property
    def quantities(self) -> pl.Series:
        """The quantities as plain decimals in the unit of the file; missing where a text is not a number."""
        column = self.column("quantity")
        if self.counters:
            return self._volumes
        if column is None:
            return pl.Series([None] * self.records.height, dtype=pl.String)
        values = column.values.cast(pl.String)
        plain = plain_seconds(values, column.clocks[0][0]) if column.clocks else self.plain(values)
        return plain.set((plain == "?").fill_null(False), None)

    @property
    def _volumes(self) -> pl.Series:
        parts = {
            what: self.plain(self.records.columns[name].values.cast(pl.String)).cast(pl.Int128, strict=False).fill_null(0)
            for what, name in self.counters.items()
        }
        weights = {"in_high": _CARRY, "out_high": _CARRY}
        total = pl.Series([0] * self.records.height, dtype=pl.Int128)
        for what, values in parts.items():
            total = total + values * pl.Series([weights.get(what, 1)], dtype=pl.Int128)
        return total.cast(pl.String)

    @cached_property
    def first_leg(self) -> tuple[Column, str] | None:
        """The column that distinguishes the legs of a call, and its value for the first leg."""
        for name, column in self.records.columns.items() if self.known is None else ():
            values = {text.lower(): text for text in column.texts.unique().to_list()} if column.distinct.count == 2 else {}
            first = next((low for low in values if _LEGS.get(low) in values), None)
            if first is not None and name_score(name, "leg"):
                return column, values[first]
        return None

    def plain(self, values: pl.Series) -> pl.Series:
        """Return numbers in the source's notation as plain decimals; missing where a text is not a number."""
        notation = self.notation.notation
        plain = values if notation == NotationConfig() else plain_numbers(values, notation)
        return plain.set((~plain.str.contains(r"^-?[0-9]+(\.[0-9]*)?$")).fill_null(True), None)

    @property
    def services(self) -> pl.Series:
        """The service of each record; missing where no column names it."""
        column = self.column("service")
        return pl.Series([None] * self.records.height, dtype=pl.String) if column is None else column.values.cast(pl.String)

    @property
    def decimals(self) -> int:
        """The most decimals that a quantity has."""
        found = self.quantities.str.extract(r"\.([0-9]+)$").str.len_chars().max()
        return int(found) if isinstance(found, int) else 0

    @property
    def largest(self) -> Decimal:
        """The largest quantity in the unit of the file."""
        return max((_to_decimal(text) for text in self.quantities.drop_nulls().to_list()), default=Decimal(0))


def _rank_preference(notation: NotationConfig, *, prefers_comma: bool) -> tuple[bool, int]:
    simple = -sum((notation.grouping != "", notation.negative != "leading", notation.decimal != "."))
    return (prefers_comma and notation.decimal == ",", simple)


def _count_other_readings(columns: Sequence[Column], best: NotationConfig, rivals: Sequence[NotationConfig]) -> tuple[int, str]:
    """Return how many values another notation that fits as well reads as different numbers, and one such value."""
    texts = pl.concat([column.texts for column in columns])
    read = plain_numbers(texts, best)
    for rival in rivals:
        other = plain_numbers(texts, rival)
        differ = [
            t for t, a, b in zip(texts.to_list(), read.to_list(), other.to_list(), strict=True) if _to_decimal(a) != _to_decimal(b)
        ]
        if differ:
            return len(differ), differ[0]
    return 0, ""


def _to_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _sum(fits: Iterable[Fit]) -> Fit:
    listed = list(fits)
    return Fit(sum(fit.count for fit in listed), sum(fit.of for fit in listed))


def identifier(name: str) -> str:
    """Return a column's name as an expression writes it: in double quotes where it is not a plain word."""
    if _SIMPLE.fullmatch(name):
        try:
            if parse(name, where="").columns == (name,):
                return name
        except ConfigError:
            pass
    return '"' + name.replace('"', '""') + '"'


def ratio_between(unit: UnitName | None, base: UnitName | None) -> Fraction:
    """Return how many of the base unit make one of a unit; 1 where the units measure different things.

    >>> ratio_between("KiB", "kB"), ratio_between("s", "min"), ratio_between("s", "MB")
    (Fraction(128, 125), Fraction(1, 60), Fraction(1, 1))
    """
    if unit is None or base is None or UNITS[unit].measures != UNITS[base].measures:
        return Fraction(1)
    return Fraction(UNITS[unit].size, UNITS[base].size)


def factor_between(unit: UnitName | None, base: UnitName | None) -> int:
    """Return how many of the base unit make one of a unit, where that is a whole number; else 1."""
    ratio = ratio_between(unit, base)
    return int(ratio) if ratio.denominator == 1 else 1


def converted(expression: str, ratio: Fraction) -> str:
    """Return the expression of a quantity in another unit; round a quotient whose decimals may not end to the kept decimals.

    >>> converted("kb", Fraction(125, 128)), converted("s", Fraction(1, 60)), converted("a + b", Fraction(1, 1000))
    ('kb * 125 / 128', 'ROUND(s / 60, 6)', '(a + b) / 1000')
    """
    if ratio == 1:
        return expression
    operand = f"({expression})" if " " in expression and not expression.startswith('"') else expression
    times = "" if ratio.numerator == 1 else f" * {ratio.numerator}"
    quotient = operand + times + (f" / {ratio.denominator}" if ratio.denominator > 1 else "")
    rest = ratio.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return quotient if rest == 1 else f"ROUND({quotient}, 6)"


def drafts_of(paths: Sequence[Path]) -> list[Draft]:
    """Return a draft of each sample, in order; raise `SourceError` for a sample that cannot be read."""
    drafts: list[Draft] = []
    for path in paths:
        sample = read_sample(path)
        layout = layout_of(sample)
        known, records = known_format(sample, records_of(sample, layout), layout)
        has_names = layout.settings.get("header", True) is True
        roles = roles_of(records.columns, has_names=has_names) if known is None else known.roles(records.columns)
        drafts.append(Draft(_choose_source_name(path, [draft.name for draft in drafts]), sample, layout, records, roles, known))
    return drafts


def _choose_source_name(path: Path, taken: Sequence[str]) -> str:
    stem = path.name.split(".")[0] or path.stem
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_") or "source"
    return next(one for number in range(1, len(taken) + 2) if (one := name if number == 1 else f"{name}_{number}") not in taken)
