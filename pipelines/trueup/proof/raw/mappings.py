"""Mappings of units: the mapping recorded for each unit's control row, or the present mapping where none was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping_record import (
    RecordedMapping,
    mapping_of,
    mapping_record,
    mapping_version,
    read_mapping,
)
from trueup.config import SourceConfig
from trueup.errors import ConfigError
from trueup.proof.evidence import Evidence


@dataclass(frozen=True)
class UnitMapping:
    """The mapping with which a unit is read.

    `id` is the mapping's id in the log, None where the log records none. `is_current` is True if the present configuration equals
    it.
    """

    mapping: RecordedMapping
    id: str | None
    is_current: bool

    def __str__(self) -> str:
        if self.id is None:
            return "the present mapping; the log recorded none"
        return f"mapping {self.id[:12]}, {'the present one' if self.is_current else 'not the present one'}"


class UnitMappings:
    """The mappings of a log's units, each read once."""

    def __init__(self, evidence: Evidence) -> None:
        self._project, self._evidence = evidence.lake.project, evidence
        self._read: dict[tuple[str, str | None], UnitMapping] = {}

    def of(self, source: str, recorded: str | None) -> UnitMapping:
        """Return the mapping of a unit of a source; raise `ConfigError` where it is unknown or cannot be read."""
        if (source, recorded) not in self._read:
            self._read[source, recorded] = self._load_mapping(source, recorded)
        return self._read[source, recorded]

    def current(self, source: str) -> UnitMapping | None:
        """Return the mapping of the present configuration; None where the source is no longer configured."""
        configured = self._find_configured(source)
        if configured is None:
            return None
        version = mapping_version(self._evidence.lake, configured)
        return UnitMapping(
            mapping_of(self._project, configured, version), mapping_record(self._project, configured, version).id, True
        )

    def _load_mapping(self, source: str, recorded: str | None) -> UnitMapping:
        present = self.current(source)
        if recorded is None:
            if present is None:
                raise ConfigError(
                    f"the source {source!r} is no longer configured, and the log recorded no mapping", where="trueup.toml",
                    todo="restore its [[source]]",
                )  # fmt: skip
            return UnitMapping(present.mapping, None, True)
        if present is not None and present.id == recorded:
            return present
        if recorded not in self._texts:
            raise ConfigError(f"the log lacks the mapping {recorded}", todo="`trueup verify` lists what is missing")
        return UnitMapping(read_mapping(self._texts[recorded]), recorded, False)

    def _find_configured(self, name: str) -> SourceConfig | None:
        return next((with_implied_settings(source) for source in self._project.config.source if source.name == name), None)

    @cached_property
    def _texts(self) -> dict[str, str]:
        rows = self._evidence.rows("configurations")
        return {row["configuration"]: row["content"] for row in rows if row["kind"] == "mapping" and row["content"] is not None}
