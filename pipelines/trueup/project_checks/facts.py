"""Facts for rules: a project's settings, the files of its sources, and the summary of its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trueup.collect.discover.units import SourceFiles, find_files
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.config import Config, Project, SourceConfig
from trueup.errors import ConfigError
from trueup.events.streams import MOVEMENTS
from trueup.project_checks.log_summary import LogSummary


@dataclass(frozen=True)
class Facts:
    """A project, the summary of its log if it was read, and the file that the command will publish, if any."""

    project: Project
    log: LogSummary = field(default_factory=LogSummary)
    published: Path | None = None

    @property
    def config(self) -> Config:
        """The project's settings."""
        return self.project.config

    @cached_property
    def sources(self) -> Sequence[SourceConfig]:
        """The sources, with the preset columns of their format or stream."""
        return [with_implied_settings(source) for source in self.config.source]

    def sources_of(self, stream: str) -> list[SourceConfig]:
        """Return the sources of a stream."""
        return [source for source in self.sources if source.stream == stream]

    @property
    def movements(self) -> Iterator[SourceConfig]:
        """The sources of usage and charges."""
        return (source for source in self.sources if source.stream in MOVEMENTS)

    @property
    def reconciles(self) -> bool:
        """Whether there are sources of both usage and charges."""
        return bool(self.sources_of("usage") and self.sources_of("charge"))

    @cached_property
    def patterns(self) -> Mapping[str, Mapping[str, Sequence[Path]]]:
        """The files of each source by its path as written; a path that cannot be resolved is in `unresolved`."""
        return {source: {path: found.paths for path, found in files.items()} for source, files in self.files.items()}

    @property
    def files(self) -> Mapping[str, Mapping[str, SourceFiles]]:
        """What was found of each source by its path as written, with errors; a path that cannot be resolved is in `unresolved`."""
        return self._files[0]

    @property
    def unresolved(self) -> Mapping[str, ConfigError]:
        """The error of a path that cannot be resolved, by source."""
        return self._files[1]

    @cached_property
    def _files(self) -> tuple[dict[str, dict[str, SourceFiles]], dict[str, ConfigError]]:
        by_source: dict[str, dict[str, SourceFiles]] = {}
        unresolved: dict[str, ConfigError] = {}
        for source in self.config.source:
            try:
                by_source[source.name] = {
                    path: find_files(self.project, source.model_copy(update={"path": (path,)})) for path in source.path
                }
            except ConfigError as error:
                unresolved[source.name] = error
        return by_source, unresolved


def possible_values(source: SourceConfig, column: str) -> frozenset[str] | None:
    """Return the texts that an event column of a source can have according to its settings; None where the records decide.

    Empty where the source has no such column.
    """
    rule, constant = source.columns.get(column), source.constants.get(column)
    constants = frozenset() if constant is None else frozenset({constant})
    if rule is None:
        return constants
    return None if rule.map is None or rule.e164 is not None else constants.union(rule.map.values())


def is_mapped(source: SourceConfig, column: str) -> bool:
    """Return whether an event column of a source has a source column or a constant."""
    return column in source.columns or column in source.constants
