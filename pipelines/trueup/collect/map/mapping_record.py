"""Recorded mappings: the settings that turn a source's records into events, written to the log and read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueup.collect.map.mapping import MAPPING_VERSION, Mapping
from trueup.collect.statements import statement
from trueup.config import (
    ColumnRule,
    FixedConfig,
    FramingConfig,
    LakeConfig,
    LimitsConfig,
    NotationConfig,
    Project,
    ProjectConfig,
    RecordTypeConfig,
    SourceConfig,
)
from trueup.errors import ConfigError
from trueup.events.schema import READABLE
from trueup.log.lake import Configuration, Lake
from trueup.quality.policy import expectation_content, expectation_from
from trueup.quality.project_expectations import row_rules
from trueup.quality.row_rules import row_rule
from trueup.zones import computed_zone

KIND = "mapping"
_DELIVERY_SETTINGS = frozenset({
    "path", "frontier", "lateness", "idle_after", "complete", "marker", "quiet", "feed", "manifest", "shared_files",
    "follow_links", "bill_lines", "preset",
})  # fmt: skip
"""Settings of the delivery of a source and of the matching of its charges; they do not affect the events of its records.

The settings of a preset are recorded as settings of the source, because a preset's name does not fix its settings.
"""
_WITHOUT_EFFECT: dict[str, object] = dict.fromkeys(("element", "fixed", "record_type", "records", "sheet", "stage")) | {
    "parents": []
}
"""Values by which newer settings have no effect: they are not recorded, so that a mapping keeps its earlier id."""


@dataclass(frozen=True)
class RecordedMapping:
    """A mapping read from the log: the source's settings, the other inputs of `Mapping`, and the bucket settings.

    `readable` names the columns of `READABLE` that quarantine keeps of a rejected record; units ingested by earlier versions have
    none.
    """

    source: SourceConfig
    project: ProjectConfig
    lake: LakeConfig
    rules: tuple[Any, ...]
    version: int = MAPPING_VERSION
    readable: tuple[str, ...] = tuple(READABLE)

    def at(self, moment: datetime) -> Mapping:
        """Return the mapping at a moment of the injected clock."""
        return Mapping(self.source, self.project, moment, self.rules, version=self.version)


def new_mapping_version(source: SourceConfig) -> int:
    """Return the version of the mapping for a source that has not delivered yet: the configured version, else the newest."""
    return MAPPING_VERSION if source.mapping_version is None else source.mapping_version


def mapping_version(lake: Lake, source: SourceConfig) -> int:
    """Return the version of a source's mapping: as configured, else as for its latest unit in the log, else the newest.

    Event ids depend on the version, so a source that has delivered keeps its version until its configuration raises it.
    """
    if source.mapping_version is not None:
        return source.mapping_version
    latest = lake.connection.execute(statement("latest_mapping"), {"source": source.name}).fetchone()
    return new_mapping_version(source) if latest is None else version_of(latest[0])


def version_of(text: str | None) -> int:
    """Return the version of a recorded mapping; units ingested before mappings were recorded have version 1."""
    return 1 if text is None else int(json.loads(text)["version"])


def mapping_record(project: Project, source: SourceConfig, version: int) -> Configuration:
    """Return all settings that decide a source's events, with every column named, in the form that the log records."""
    config = project.config
    content = {
        "version": version,
        "source": _list_settings(source),
        "timezone": config.project.timezone, "currency": config.project.currency, "max_age": config.project.max_age,
        "further_currencies": sorted(config.project.further_currencies),
        "bucket_by": config.lake.bucket_by, "buckets": config.lake.buckets,
        "rules": [{**expectation_content(rule.expectation), "notes": ""} for rule in row_rules(project, source)],
        "readable": sorted(READABLE),
    }  # fmt: skip
    return Configuration.of(KIND, content)


_RULE_WITHOUT_EFFECT: dict[str, object] = {"prefixes": None, "national_digits": []}
"""Values of newer column settings that have no effect; these are not recorded either."""


def _list_settings(source: SourceConfig) -> dict[str, Any]:
    settings = {
        name: value
        for name, value in source.model_dump(mode="json").items()
        if name not in _DELIVERY_SETTINGS and not (name in _WITHOUT_EFFECT and value == _WITHOUT_EFFECT[name])
    }
    columns = settings["columns"].items()
    return settings | {"columns": {name: _with_effect(rule) for name, rule in columns}}


def _with_effect(rule: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in rule.items() if not (name in _RULE_WITHOUT_EFFECT and value == _RULE_WITHOUT_EFFECT[name])
    }


def mapping_of(project: Project, source: SourceConfig, version: int) -> RecordedMapping:
    """Return the mapping of the project's present configuration."""
    return RecordedMapping(source, project.config.project, project.config.lake, row_rules(project, source), version)


def read_mapping(text: str) -> RecordedMapping:
    """Return the mapping of a recorded text; raise `ConfigError` for a mapping version that this release does not have."""
    content = json.loads(text)
    if content["version"] > MAPPING_VERSION:
        raise ConfigError(
            f"the mapping was recorded by version {content['version']} of the mapping code, this one is {MAPPING_VERSION}",
            todo="verify with the version that ingested the unit",
        )  # fmt: skip
    return RecordedMapping(
        _build_source(content["source"]),
        ProjectConfig(timezone=computed_zone(content["timezone"]), currency=content["currency"]).model_copy(
            update={"max_age": content["max_age"], "further_currencies": tuple(content.get("further_currencies", ()))}
        ),
        LakeConfig(bucket_by=content["bucket_by"], buckets=content["buckets"]),
        tuple(row_rule(expectation_from(rule)) for rule in content["rules"]),
        content["version"],
        tuple(content.get("readable", ())),
    )


def _build_source(content: dict[str, Any]) -> SourceConfig:
    """Return the recorded settings of a source, which were checked when recorded; durations and money are numbers."""
    columns = {name: _build_rule(rule) for name, rule in content["columns"].items()}
    notation = NotationConfig.model_validate(content.get("notation", {}))
    ranges = {name: tuple(bounds) for name, bounds in content["range"].items()}
    # Units ingested by an earlier version have no recorded limits: the defaults were in force.
    limits = LimitsConfig.model_validate(content.get("limits", {}))
    framing = content.get("framing") and FramingConfig.model_validate(content["framing"])
    fixed = content.get("fixed") and FixedConfig.model_validate(content["fixed"])
    record_type = content.get("record_type") and RecordTypeConfig.model_validate(content["record_type"])
    typed = {
        "columns": columns, "range": ranges, "limits": limits, "notation": notation, "framing": framing, "fixed": fixed,
        "record_type": record_type, "parents": tuple(content.get("parents", ())),
    }  # fmt: skip
    # Earlier versions read a repeated header as a record, which they rejected.
    return SourceConfig.model_construct(**{"repeated_header": False, **content, "path": (), **typed})


def _build_rule(content: dict[str, Any]) -> ColumnRule:
    notation = content.get("notation")
    typed = {
        "columns": tuple(content["columns"]), "notation": notation and NotationConfig.model_validate(notation),
        "national_digits": tuple(content.get("national_digits", ())),
    }  # fmt: skip
    return ColumnRule.model_construct(**content | typed)
