"""Which mapping made a unit: the one its control row refers to, or today's where none was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from trueup.collect.map.mapping_record import RecordedMapping, mapping_of, mapping_record, read_mapping
from trueup.collect.map.presets import expand_preset
from trueup.config import SourceConfig
from trueup.errors import ConfigError
from trueup.proof.evidence import Evidence


@dataclass(frozen=True)
class MadeBy:
    """The mapping to read a unit with. `id` is how the log refers to it, None where none was recorded; `is_todays` says whether
    the configuration asks for the same one today."""

    mapping: RecordedMapping
    id: str | None
    is_todays: bool

    def __str__(self) -> str:
        if self.id is None:
            return "today's mapping; the log recorded none"
        return f"mapping {self.id[:12]}, {'the one of today' if self.is_todays else 'not the one of today'}"


class Mappings:
    """The mappings of a log's units, each read once."""

    def __init__(self, evidence: Evidence) -> None:
        self._project, self._evidence = evidence.lake.project, evidence
        self._read: dict[tuple[str, str | None], MadeBy] = {}

    def of(self, source: str, recorded: str | None) -> MadeBy:
        """The mapping of a unit of a source; raises `ConfigError` where it is not known or cannot be read."""
        if (source, recorded) not in self._read:
            self._read[source, recorded] = self._found(source, recorded)
        return self._read[source, recorded]

    def of_today(self, source: str) -> MadeBy | None:
        """The mapping that the configuration asks for today; None where the source is no longer configured."""
        configured = self._configured(source)
        if configured is None:
            return None
        return MadeBy(mapping_of(self._project, configured), mapping_record(self._project, configured).id, True)

    def _found(self, source: str, recorded: str | None) -> MadeBy:
        today = self.of_today(source)
        if recorded is None:
            if today is None:
                raise ConfigError(
                    f"the source {source!r} is no longer configured, and the log recorded no mapping", where="trueup.toml",
                    todo="bring its [[source]] back",
                )  # fmt: skip
            return MadeBy(today.mapping, None, True)
        if today is not None and today.id == recorded:
            return today
        if recorded not in self._texts:
            raise ConfigError(f"the log does not hold the mapping {recorded}", todo="`trueup verify` lists what is missing")
        return MadeBy(read_mapping(self._texts[recorded]), recorded, False)

    def _configured(self, name: str) -> SourceConfig | None:
        return next((expand_preset(source) for source in self._project.config.source if source.name == name), None)

    @cached_property
    def _texts(self) -> dict[str, str]:
        rows = self._evidence.rows("configurations")
        return {row["configuration"]: row["content"] for row in rows if row["kind"] == "mapping" and row["content"] is not None}
