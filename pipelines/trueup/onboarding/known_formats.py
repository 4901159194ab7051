"""Known formats: which preset a sample fits, by the names of its columns or by its values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

from trueup.collect.map.expressions.syntax import parse as parse_expression
from trueup.config import ColumnRule, SourceConfig, parse, preset_names, preset_text
from trueup.onboarding.columns import Column, Records, records_by
from trueup.onboarding.evidence import Fit
from trueup.onboarding.layouts.csv import DISPOSITIONS
from trueup.onboarding.layouts.layout import Layout
from trueup.onboarding.roles import Roles
from trueup.onboarding.sample import Sample
from trueup.units import UnitName

_STAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}"
_UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_SECONDS = r"^[0-9]{1,6}$"
_WITHOUT_NAMES: Mapping[str, tuple[Collection[int], Mapping[str, str]]] = {
    "freeswitch-csv": (range(15, 40), {"5": _STAMP, "7": _STAMP, "8": _SECONDS, "9": _SECONDS, "10": "^[A-Z_0-9]+$", "11": _UUID}),
    "asterisk-csv": ((18, 21), {"10": _STAMP, "13": _SECONDS, "14": _SECONDS, "15": f"^({'|'.join(sorted(DISPOSITIONS))})$"}),
    "cgrates-csv": ((14,), {"2": r"^\*", "3": r"^\*[a-z]+$", "11": _STAMP, "14": r"^-?[0-9]+(\.[0-9]+)?$"}),
}  # fmt: skip
"""Formats whose files do not name their columns: their numbers of fields, and patterns for the values of some fields."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class KnownFormat:
    """A preset that a sample fits, as a source, and the evidence for it."""

    name: str
    source: SourceConfig
    fit: Fit
    evidence: str

    @property
    def unit(self) -> UnitName | None:
        """The unit of the preset's quantities."""
        rule = self.source.columns.get("quantity")
        return None if rule is None else rule.unit or ("s" if rule.duration is not None else None)

    @property
    def has_counters(self) -> bool:
        """Whether its records count from the start of their session, so that the last record of a session has the total."""
        return self.source.format == "radius"

    def roles(self, columns: Mapping[str, Column]) -> Roles:
        """Return the roles of a sample's columns as the preset maps them."""
        found = {
            role: columns[name] for role, rule in self.source.columns.items() if (name := _find_main_column(role, rule)) in columns
        }
        if "started_at" in found and not found["started_at"].times:
            del found["started_at"]
        return Roles(self.source.stream, found, set(found))


def known_format(sample: Sample, records: Records, layout: Layout) -> tuple[KnownFormat | None, Records]:
    """Return the preset that a sample fits, if there is one, and the sample's records as that preset reads them."""
    if layout.format in ("ndjson", "json"):
        return _recognise_json(sample, records, layout)
    if layout.format not in ("csv", "radius"):
        return None, records
    if layout.settings.get("header") is False:
        found = [_recognise_by_values(name, records.columns) for name in _WITHOUT_NAMES]
    else:
        available = set(records.available)
        named = [name for name in preset_names() if name not in _WITHOUT_NAMES and preset_as_source(name).format == layout.format]
        found = [_recognise_by_names(name, available) for name in named]
    return max((one for one in found if one is not None), key=lambda one: one.fit.count, default=None), records


def _recognise_json(sample: Sample, records: Records, layout: Layout) -> tuple[KnownFormat | None, Records]:
    for name in preset_names():
        source = preset_as_source(name)
        # Where a preset reads members around a list, documents of the sample show those members.
        outermost = {column.split(".")[0] for column in source.parents or _list_columns_read(source)}
        if source.format not in ("ndjson", "json") or not outermost <= {column.split(".")[0] for column in records.available}:
            continue
        # Format and list come from the sample; the paths of the preset name members of inner objects.
        records_at = source.records or layout.settings.get("records")
        by_line = source.model_copy(update={"format": layout.format, "records": records_at})
        read = records_by(by_line, sample, layout, first=_list_columns_read(source))
        known = _recognise_by_names(name, read.columns)
        if known is not None:
            return known, read
    return None, records


def _recognise_by_values(name: str, columns: Mapping[str, Column]) -> KnownFormat | None:
    widths, patterns = _WITHOUT_NAMES[name]
    if len(columns) not in widths:
        return None
    texts = [(columns[number].texts, pattern) for number, pattern in patterns.items()]
    fit = Fit(sum(int(values.str.contains(pattern).sum()) for values, pattern in texts), sum(len(values) for values, _ in texts))
    if fit.share < 0.9 or not all(len(values) for values, _ in texts):
        return None
    return KnownFormat(name, preset_as_source(name), fit, f"{fit} values of fields {', '.join(patterns)} fit the format")


def _recognise_by_names(name: str, available: Collection[str]) -> KnownFormat | None:
    source = preset_as_source(name)
    read = _list_columns_read(source)
    if not set(read) <= set(available):
        return None
    shown = ", ".join(read[:_MOST_NAMED])
    return KnownFormat(name, source, Fit(len(read), len(read)), f"the sample has its {len(read)} columns, among them {shown}")


@cache
def preset_as_source(name: str) -> SourceConfig:
    """Return a preset as the source that its file describes."""
    (source,) = parse(preset_text(name), where=name).source
    return source


def _list_columns_read(source: SourceConfig) -> list[str]:
    """Return the columns that every file of a preset has: the columns of its mapping and of its condition.

    Where records differ in their columns, a sample may lack columns whose absence an expression handles.
    """
    expressions = [rule.expression for rule in source.columns.values() if not rule.optional] + [source.where]
    read = _list_operands if source.has_equal_records else _list_needed
    mapped = [name for rule in source.columns.values() if not rule.optional for name in rule.names]
    return list(dict.fromkeys([*mapped, *(name for expression in expressions for name in read(expression))]))


def _list_operands(expression: str | None) -> tuple[str, ...]:
    return () if expression is None else tuple(parse_expression(expression, where="").columns)


def _list_needed(expression: str | None) -> tuple[str, ...]:
    return () if expression is None else tuple(parse_expression(expression, where="").needed)


def _find_main_column(role: str, rule: ColumnRule) -> str:
    """Return the source column of an event column; for an expression, the column to which it falls back."""
    names = rule.names or (() if role == "quantity" else (_list_needed(rule.expression) or _list_operands(rule.expression))[-1:])
    return names[0] if names else ""
