"""Implied settings: columns and ranges that follow from a source's format, stream or units.

The presets that a source names are part of its settings (`trueup.config.preset_files`).
"""

from __future__ import annotations

from trueup.collect.decode.text import asterisk
from trueup.config import STREAM_COLUMNS, ColumnRule, SourceConfig
from trueup.units import greatest_plausible_micros


def with_implied_settings(source: SourceConfig) -> SourceConfig:
    """Return the source with the preset's columns and a plausible range of its quantity.

    A tariff book without mapped columns uses the log's names.
    """
    if source.format == "asterisk":
        return _with_plausible_range(asterisk.apply_preset(source))
    if source.stream == "tariff" and not source.columns:
        return source.model_copy(update={"columns": same_named_columns(source)})
    return _with_plausible_range(source)


def _with_plausible_range(source: SourceConfig) -> SourceConfig:
    """Return the source with a plausible range of its quantity, where the unit is known and no range is set."""
    rule = source.columns.get("quantity")
    if rule is None or (rule.unit is None and rule.duration is None) or "quantity" in source.range:
        return source
    bounds = plausible_range(source, source.constants.get("service"))
    return source.model_copy(update={"range": source.range | {"quantity": bounds}})


def plausible_range(source: SourceConfig, service: str | None) -> tuple[int, int]:
    """Return the least and greatest plausible quantity of a service, in millionths of the unit that the source names."""
    rule = source.columns["quantity"]
    # A duration text means a number of seconds, multiplied by `scale`.
    greatest = (
        greatest_plausible_micros("s", service) * rule.scale if rule.unit is None else greatest_plausible_micros(rule.unit, service)
    )
    # A credited quantity is negative, so the range for charges is symmetric.
    return 0 if source.stream == "usage" else -greatest, greatest


def same_named_columns(source: SourceConfig) -> dict[str, ColumnRule]:
    """Return, for each column of the source's stream, an optional rule that reads the source column of the same name."""
    return {name: ColumnRule(column=name, optional=True) for name in STREAM_COLUMNS[source.stream]}
