"""The mapping of one source in one run: its version, its recorded form, and the units of an earlier version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from trueup.collect.commit.earlier_form import EarlierForm, earlier_form
from trueup.collect.commit.moved_contents import may_have_moved
from trueup.collect.map.mapping import Mapping
from trueup.collect.map.mapping_record import RecordedMapping, mapping_of, mapping_record, mapping_version, new_mapping_version
from trueup.config import SourceConfig
from trueup.log.lake import Configuration, Lake


@dataclass(frozen=True)
class SourceMapping:
    """Present mapping of a source, with its preset expanded. Each property is computed when a unit first needs it.

    `is_new`: the log had no part of the source when the run began, so there is no earlier mapping to look up.
    """

    lake: Lake
    source: SourceConfig
    is_new: bool = False

    @cached_property
    def version(self) -> int:
        """Version of the mapping."""
        return new_mapping_version(self.source) if self.is_new else mapping_version(self.lake, self.source)

    @cached_property
    def recorded(self) -> Configuration:
        """The mapping as the log records it."""
        return mapping_record(self.lake.project, self.source, self.version)

    @cached_property
    def present(self) -> RecordedMapping:
        """The mapping with all the settings that it depends on."""
        return mapping_of(self.lake.project, self.source, self.version)

    @cached_property
    def mapping(self) -> Mapping:
        """The mapping at the time of this run."""
        return self.present.at(self.lake.clock())

    @cached_property
    def earlier(self) -> EarlierForm | None:
        """Units that an earlier version of the mapping delivered, or None."""
        return None if self.is_new else earlier_form(self.lake.connection, self.present)

    @cached_property
    def may_have_moved(self) -> bool:
        """Whether records of the source may have contents under several bucket keys."""
        return may_have_moved(self.lake.connection, self.source, self.lake.project.config.source)
