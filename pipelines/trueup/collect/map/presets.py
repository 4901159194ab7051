"""What a source need not say: the columns its format or its stream already names."""

from __future__ import annotations

from trueup.collect.decode import asterisk
from trueup.config import STREAM_COLUMNS, ColumnRule, SourceConfig


def expanded(source: SourceConfig) -> SourceConfig:
    """The source with the columns it leaves out; those of a tariff book that maps none are named as in the log."""
    if source.format == "asterisk":
        return asterisk.filled(source)
    if source.stream == "tariff" and not source.columns:
        return source.model_copy(update={"columns": named_alike(source)})
    return source


def named_alike(source: SourceConfig) -> dict[str, ColumnRule]:
    """Every column of a source's stream from the one of its own name, where there is one."""
    return {name: ColumnRule(column=name, optional=True) for name in STREAM_COLUMNS[source.stream]}
