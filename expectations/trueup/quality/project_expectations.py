"""The expectations of a project: the built-in suites, its tables in `trueup.toml`, and its Python file."""

from __future__ import annotations

import runpy
from collections.abc import Sequence

from trueup.config import Project, SourceConfig
from trueup.errors import ConfigError
from trueup.events.schema import EVENT
from trueup.quality.expectation import Expectation
from trueup.quality.row_rules import RowRule, row_rule
from trueup.quality.suites import SUITES

_LISTS = ("column_list", "column_set")
"""Arguments that name several columns."""
EXPECTATIONS = "EXPECTATIONS"
"""The name that the Python file in `[quality] file` must define: a sequence of `Expectation`."""


def expectations(project: Project, stream: str) -> tuple[Expectation, ...]:
    """Return the expectations of a stream; raise `ConfigError` for a repeated name or a row rule that does not compile."""
    found = (*SUITES[stream], *(e for e in own(project) if e.stream == stream))
    names = [e.name for e in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two expectations of {stream} are named {name!r}", where=str(project.directory))
    for e in found:
        if e.severity == "quarantine":
            row_rule(e)
        _check_columns(e)
    return found


def _check_columns(e: Expectation) -> None:
    """Raise `ConfigError` for a rule about a column that its stream does not have: no other check reports it."""
    columns = EVENT[e.stream]
    named = [e.arguments[name] for name in ("column", "column_A", "column_B") if name in e.arguments]
    for name in (*named, *(n for part in _LISTS for n in e.arguments.get(part) or ())):
        if name not in columns:
            raise ConfigError(
                f"{e.stream} has no column {name!r}", where=f"expectation {e.name!r}", todo=f"it has {', '.join(columns)}"
            )


def own(project: Project) -> tuple[Expectation, ...]:
    """Return the expectations that the project adds: its `[[expectation]]` tables, then its Python file."""
    config = project.config
    sources = {source.name: source.stream for source in config.source}
    configured = [
        Expectation(e.name, e.stream, e.type, e.arguments, e.severity, e.notes, e.source) for e in config.expectation
    ]  # fmt: skip
    for e in (*configured, *(extra := _load_file(project))):
        if e.source is not None and sources.get(e.source) != e.stream:
            raise ConfigError(
                f"there is no source {e.source!r} of {e.stream}", where=f"expectation {e.name!r}", todo="correct `source`"
            )
    return (*configured, *extra)


def _load_file(project: Project) -> Sequence[Expectation]:
    """Return the expectations that a project's Python file defines; it runs with the rights of the user of the command."""
    if project.config.quality.file is None:
        return ()
    path = project.resolve(project.config.quality.file)
    if not path.is_file():
        raise ConfigError("there is no such file of expectations", where=str(path), todo="correct [quality] file")
    found = runpy.run_path(str(path)).get(EXPECTATIONS)
    if not isinstance(found, Sequence) or not all(isinstance(e, Expectation) for e in found):
        raise ConfigError(
            f"the file must define {EXPECTATIONS}, a sequence of trueup.quality.expectation.Expectation", where=str(path)
        )
    return found


def row_rules(project: Project, source: SourceConfig) -> tuple[RowRule, ...]:
    """Return the rules that quarantine records of a source; raise `ConfigError` for one that does not compile."""
    of_source = (e for e in expectations(project, source.stream) if e.severity == "quarantine" and e.source in (None, source.name))
    return tuple(row_rule(e) for e in of_source)
