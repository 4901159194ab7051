"""Rules about settings that cannot have an effect: each is an error, so that nothing a user sets is accepted and ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.time_formats import EPOCH_POWER
from trueup.config import (
    DECIMAL_COLUMNS,
    FLAG_COLUMNS,
    TIME_COLUMNS,
    WHOLE_COLUMNS,
    ColumnRule,
    ServiceConfig,
    SourceConfig,
)
from trueup.errors import ConfigError
from trueup.events.streams import INVOICE, MOVEMENTS, STAGE
from trueup.project_checks.facts import Facts, is_mapped
from trueup.project_checks.problem import Instance, Rule

_TEXTS = ("csv", "asterisk", "fixed", "ndjson")
_FORMATS_OF: dict[tuple[str, ...], tuple[str, ...]] = {
    ("delimiter", "quote", "repeated_header", "quoted_newlines"): ("csv", "asterisk"),
    ("header",): ("csv", "asterisk", "xlsx"),
    ("encoding", "framing"): _TEXTS,
    ("skip_lines",): (*_TEXTS, "xlsx"),
    ("fixed",): ("fixed",),
    ("sheet",): ("xlsx",),
    ("records", "parents"): ("ndjson", "json"),
    ("element",): ("xml",),
    ("record_type",): ("csv", "fixed"),
}
"""Formats in which settings have an effect."""
_MOVEMENTS_ONLY = ("frontier", "lateness", "idle_after")
_KINDS = {"decimal": DECIMAL_COLUMNS, "time": TIME_COLUMNS, "truth value": FLAG_COLUMNS, "whole number": WHOLE_COLUMNS}
_COLUMN_SETTINGS = {
    "scale": {"decimal"}, "map": {"text", "truth value"}, "e164": {"text", "truth value"}, "timezone": {"time"},
    "time_format": {"time"}, "notation": {"decimal", "whole number"}, "duration": {"decimal"},
}  # fmt: skip
"""Kinds of column to which each column setting applies."""
_OF_COVERED = ("price", "price_per", "currency", "parts", "covers")
"""Settings of a service that keep their effect where another service covers it."""


def _unused(facts: Facts) -> Iterator[Instance]:
    for source in facts.config.source:
        for name, when in _unused_of_source(source):
            yield {"where": f"[[source]] {source.name}", "name": name, "when": when}
    for service, rules in facts.config.reconcile.items():
        for name, when in _unused_of_service(rules, facts.config.source):
            yield {"where": f"[reconcile.{service}]", "name": name, "when": when}
    yield from _unused_of_covered(facts.config.reconcile)
    if "timeout" in facts.config.anchor.model_fields_set and facts.config.anchor.to_command is None:
        yield {"where": "[anchor]", "name": "timeout", "when": "without `to_command`"}
    if facts.config.invoice.model_fields_set and not facts.sources_of(INVOICE):
        for name in sorted(facts.config.invoice.model_fields_set):
            yield {"where": "[invoice]", "name": name, "when": 'without a source with stream = "invoice"'}


def _unused_of_source(source: SourceConfig) -> Iterator[tuple[str, str]]:
    written = source.model_fields_set
    for names, formats in _FORMATS_OF.items():
        if source.format not in formats:
            yield from ((name, f'with format = "{source.format}"') for name in names if name in written)
    if source.format == "asterisk":
        yield from ((name, 'with format = "asterisk"') for name in ("header", "repeated_header") if name in written)
    elif "repeated_header" in written and not source.header:
        yield "repeated_header", "with header = false"
    for name, complete in (("marker", "marker"), ("quiet", "quiet")):
        if name in written and source.complete != complete:
            yield name, f'without complete = "{complete}"'
    if "bill_lines" in written and source.stream != "charge":
        yield "bill_lines", f'with stream = "{source.stream}"'
    elif "bill_lines" in written and not is_mapped(source, "session_key"):
        yield "bill_lines", "without a column for session_key"
    if source.stream not in MOVEMENTS:
        names = ("idle_after",) if source.stream == INVOICE else _MOVEMENTS_ONLY
        yield from ((name, f'with stream = "{source.stream}"') for name in names if name in written)
    if source.stream in (*MOVEMENTS, INVOICE) and "lateness" in written and source.frontier == "declared":
        yield "lateness", 'with frontier = "declared"'
    if source.stream == STAGE:
        # Quality controls watch reconciled feeds only; in a chain, the file numbers show what is late.
        yield from ((f"{name} of feed", f'with stream = "{STAGE}"') for name in sorted(source.feed.model_fields_set - {"file"}))
    if source.stream == INVOICE:
        yield from ((f"{name} of feed", f'with stream = "{INVOICE}"') for name in sorted(source.feed.model_fields_set))
    if "trim" in written and source.mapping_version == 1:
        yield "trim", "with mapping_version = 1"
    if "late_after" in source.feed.model_fields_set and source.feed.every is None:
        yield "late_after of feed", "without `every`"
    if source.identity == "position" and "record_key" in (*source.columns, *source.constants):
        yield "record_key", 'with identity = "position"'
    if source.identity != "key" and is_mapped(source, "record_version"):
        yield "record_version", f'with identity = "{source.identity}"'
    yield from ((f"range of {name}", f"without a column for {name}") for name in source.range if not is_mapped(source, name))
    for name in source.framing.sums if source.framing is not None else ():
        if not is_mapped(with_implied_settings(source), name):
            yield f"the group {name} of framing", f"without a column for {name}"
    yield from _unused_of_times(source)
    for column, rule in source.columns.items():
        yield from ((f"{name} of {column}", when) for name, when in _unused_of_column(column, rule))


def _unused_of_times(source: SourceConfig) -> Iterator[tuple[str, str]]:
    """Yield settings of times of a source without times, or with times that count from 1970."""
    written = [name for name in ("time_format", "timezone", "ambiguous") if name in source.model_fields_set]
    times = {name: rule for name, rule in with_implied_settings(source).columns.items() if name in TIME_COLUMNS}
    if not times and not TIME_COLUMNS & set(source.constants):
        yield from ((name, "without a column of times") for name in written)
    elif source.format != "parquet" and times and not TIME_COLUMNS & set(source.constants):
        formats = {rule.time_format or source.time_format for rule in times.values()}
        if formats <= set(EPOCH_POWER):
            yield from ((name, "with times that count from 1970") for name in written if name != "time_format")


def _unused_of_column(column: str, rule: ColumnRule) -> Iterator[tuple[str, str]]:
    written = rule.model_fields_set
    kind = next((kind for kind, columns in _KINDS.items() if column in columns), "text")
    # A version may be a number or a time.
    may_be_time = column == "record_version" and "time_format" in written
    for name, kinds in _COLUMN_SETTINGS.items():
        if name in written and kind not in kinds and not (may_be_time and "time" in kinds):
            yield name, f"for a column of kind {kind}"
    if "unit" in written and column != "quantity":
        yield "unit", "for a column other than the quantity"
    if "separator" in written and "columns" not in written:
        yield "separator", "without `columns`"
    if "duration" in written and rule.expression is not None and _is_number(rule.expression):
        yield "duration", "with an `expression` of numbers"
    if "notation" in written and "duration" in written:
        yield "notation", "with `duration`"


def _is_number(expression: str) -> bool:
    # The parser imports Polars, which takes longer than all other checks take.
    from trueup.collect.map.expressions.syntax import parse

    try:
        return parse(expression, where="").kind == "number"
    except ConfigError:
        # Another rule reports an expression that is not permitted.
        return False


def _unused_of_service(rules: ServiceConfig, sources: Sequence[SourceConfig]) -> Iterator[tuple[str, str]]:
    written = rules.model_fields_set
    usage = [with_implied_settings(source) for source in sources if source.stream == "usage"]
    if "parts" in written and usage and not any(is_mapped(source, "session_key") for source in usage):
        yield "parts", "without a column for session_key of usage"
    if "period" in written and "aggregate" not in rules.match:
        yield "period", 'without match = ["aggregate"]'
    if rules.period == "cycle" and not any(source.stream == "subscriber" and is_mapped(source, "cycle_day") for source in sources):
        yield 'period = "cycle"', "without a column for cycle_day of subscriber states"
    if "price_per" in written and rules.price is None:
        yield "price_per", "without `price`"
    if "quantity_tolerance" in written and rules.covers:
        yield "quantity_tolerance", "with `covers`: sums of several services are compared by amount alone"


def _unused_of_covered(tables: Mapping[str, ServiceConfig]) -> Iterator[Instance]:
    """Yield settings without effect of covered services: all but their prices come from the covering service."""
    for line, rules in tables.items():
        for service in rules.covers:
            written = tables[service].model_fields_set if service in tables else set()
            for name in sorted(written - {"match", *_OF_COVERED}):
                yield {"where": f"[reconcile.{service}]", "name": name, "when": f"where [reconcile.{line}] covers the service"}


SETTING_RULES = (
    Rule("unused-setting", "error", "{name} has no effect {when}", "remove it, or correct the setting it belongs to", _unused),
)
