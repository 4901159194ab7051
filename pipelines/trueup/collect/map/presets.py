"""Presets: the columns that a source's format or stream already names."""

from __future__ import annotations

from trueup.collect.decode.text import asterisk
from trueup.config import STREAM_COLUMNS, ColumnRule, SourceConfig


def expand_preset(source: SourceConfig) -> SourceConfig:
    """Return the source with the preset's columns; a tariff book without mapped columns uses the log's names."""
    if source.format == "asterisk":
        return asterisk.apply_preset(source)
    if source.stream == "tariff" and not source.columns:
        return source.model_copy(update={"columns": same_named_columns(source)})
    return source


def same_named_columns(source: SourceConfig) -> dict[str, ColumnRule]:
    """Return a rule for each column of the source's stream that reads the source column of the same name, if there is one."""
    return {name: ColumnRule(column=name, optional=True) for name in STREAM_COLUMNS[source.stream]}
