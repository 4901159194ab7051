"""`[[source]]`: one feed, its mapping, its numbering and its manifest."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from trueup.config.columns import DECIMAL_COLUMNS, STREAM_COLUMNS, Stream
from trueup.config.preset_files import PRESET, with_preset
from trueup.config.tables.limits import LimitsConfig
from trueup.config.tables.of_source.fixed import FixedConfig
from trueup.config.tables.of_source.framing import RECORDS, FramingConfig
from trueup.config.tables.of_source.notation import NotationConfig
from trueup.config.tables.of_source.record_type import RecordTypeConfig
from trueup.config.values import (
    AsciiCharacter,
    CountryCode,
    DestinationPattern,
    DialPrefix,
    Duration,
    Flag,
    Marker,
    Micros,
    PositiveDuration,
    RecordPattern,
    SequencePattern,
    Table,
    Text,
    Whole,
    Zone,
    pattern_groups,
)
from trueup.units import MICROS, UNITS, UnitName

_Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class ColumnRule(Table):
    """A value of `[source.columns]`: how one event column is built from source columns."""

    column: Text | None = None
    """The source column."""
    columns: tuple[Text, ...] = ()
    """Source columns that are joined by `separator`."""
    expression: Text | None = None
    """An SQL expression over source columns."""
    separator: str = "|"
    """The text between joined columns."""
    scale: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    """The factor by which numbers are multiplied."""
    unit: UnitName | None = None
    """The unit of the quantity after `scale`. Without a `range`, records with an implausible quantity in this unit are rejected."""
    map: dict[str, str] | None = None
    """Event values by source values; `*` is for all others."""
    e164: CountryCode | None = None
    """The calling code of numbers without one."""
    prefixes: dict[DialPrefix, DialPrefix | Literal[""]] | None = None
    """Leading digits of numbers without `+`, and their replacement; by default 00 is removed and 0 becomes the calling code."""
    national_digits: tuple[Annotated[Whole, Field(ge=1, le=15)], ...] = ()
    """The number of digits of a national number without a prefix; such a number gets the calling code."""
    notation: NotationConfig | None = None
    """The notation of this column's numbers."""
    duration: Literal["h:m:s", "h:m", "m:s", "units"] | None = None
    """How durations are written; they become seconds."""
    timezone: Zone | None = None
    """The zone of this column's times without an offset."""
    time_format: str | None = None
    """The format of this column's times."""
    optional: Flag = False
    """Whether files may lack the column."""

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if [self.column is not None, bool(self.columns), self.expression is not None].count(True) != 1:
            raise ValueError("name either `column`, `columns` or `expression`")
        return self

    @property
    def has_numbering(self) -> bool:
        """Whether the rule has a dialling plan of its own."""
        return self.prefixes is not None or bool(self.national_digits)

    @model_validator(mode="after")
    def _check_numbering(self) -> Self:
        if self.has_numbering and self.e164 is None:
            raise ValueError("`prefixes` and `national_digits` need `e164`, the calling code")
        return self

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.unit is not None and self.duration is not None:
            unit = UNITS[self.unit]
            if unit.measures != "time" or unit.size * self.scale != UNITS["s"].size:
                raise ValueError(f"a written `duration` is a number of seconds, times `scale`: its unit is not {self.unit}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The source columns whose texts the rule takes; an expression reads further columns."""
        return self.columns or ((self.column,) if self.column is not None else ())


def _as_rule(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class FeedConfig(Table):
    """`[source.feed]`: how the records of a complete feed are numbered and how often they arrive.

    `file` and `record` are patterns that find the number in file names and record keys, by a group `sequence`. A group `node` is
    needed where each node counts separately. `destination` is a pattern that finds the destination of the peer, by a group of that
    name. Completeness checks watch each destination's share of the traffic. `every` is the interval between deliveries; a delivery
    that is `late_after` overdue is stale.
    """

    file: SequencePattern | None = None
    """A regular expression with the group `sequence` that finds the number in file names."""
    record: RecordPattern | None = None
    """A regular expression with the group `sequence` that finds the number in record keys."""
    destination: DestinationPattern | None = None
    """A regular expression with the group `destination` that finds the destination of the peer."""
    every: PositiveDuration | None = None
    """The interval between deliveries."""
    late_after: Duration = 0
    """How long a delivery may be overdue before it is stale."""


class ManifestConfig(Table):
    """`[source.manifest]`: the file in which the sender declares the content of each delivered file.

    `path` names it, relative to the folder of the delivered file: `{name}` is the file's name, `{stem}` the name without its last
    ending. `pattern` finds the groups `records`, `sha256` or both in its text. In a manifest of many files, `{name}` in `pattern`
    is replaced by the name of the delivered file.
    """

    path: Annotated[str, Field(min_length=1)]
    """The manifest of a delivered file: `{name}` is the file's name, `{stem}` the name without its last ending."""
    pattern: Annotated[str, Field(min_length=1)]
    """A regular expression with the groups `records`, `sha256` or both."""

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        if not {"records", "sha256"} & self.groups:
            raise ValueError(f"{self.pattern!r} must have a group (?P<records>[0-9]+) or (?P<sha256>[0-9a-f]{{64}})")
        if "{name}" not in self.path + self.pattern and "{stem}" not in self.path:
            raise ValueError("neither `path` nor `pattern` contains the file's name; write {name} where its name belongs")
        return self

    @property
    def groups(self) -> set[str]:
        """Names of the groups of its pattern."""
        return pattern_groups(self.pattern.replace("{name}", "name"))


class SourceConfig(Table):
    """`[[source]]`: one feed, and how its records become events."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """The name of the source, unique in the project."""
    preset: Text | None = None
    """The name of a preset whose settings apply where this table sets none; `trueup presets` lists them."""
    stream: Stream
    """The kind of the records: usage, charges, records of a stage, invoices, states of subscriptions, or the tariff book."""
    stage: Text | None = None
    """The stage of a `[[chain]]` whose records these are, with `stream = "stage"`."""
    path: Annotated[
        tuple[Text, ...], Field(min_length=1),
        BeforeValidator(lambda p: (p,) if isinstance(p, str) else p, json_schema_input_type=Text | _Texts),
    ]  # fmt: skip
    """The files: paths or patterns, relative to the project's folder."""
    format: Literal["csv", "fixed", "ndjson", "json", "xml", "parquet", "xlsx", "asterisk", "radius"] = "csv"
    """The format of the files."""
    timezone: Zone | None = None
    """The zone of times without an offset; by default that of the project."""
    time_format: Text = "iso"
    """`iso`, `epoch_s`, `epoch_ms`, `epoch_us`, or a strptime format."""
    ambiguous: Literal["earliest", "latest", "quarantine"] = "quarantine"
    """Which of the two instants a repeated local time means."""
    notation: NotationConfig = NotationConfig()
    """How numbers are written."""
    trim: Flag = True
    """Whether texts lose their outer blanks."""
    mapping_version: Annotated[Whole, Field(ge=1, le=4)] | None = None
    """The version of the mapping, for sources with a history."""
    delimiter: AsciiCharacter = ","
    """The character between fields."""
    quote: AsciiCharacter = '"'
    """The character around fields."""
    header: Flag = True
    """Whether the first line has the names of the columns."""
    repeated_header: Flag = True
    """Whether a header line in the middle of a file is recognised as a header."""
    encoding: Text = "utf-8"
    """The encoding of the text."""
    quoted_newlines: Flag = False
    """Whether quoted fields may hold line ends."""
    skip_lines: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    """Lines before the header line or the first record."""
    identity: Literal["key", "content", "position"] = "key"
    """What identifies a record: its key, its content, or its position in the file."""
    key_scope: Text | None = None
    """The name within which record keys are unique; by default that of the source."""
    frontier: Literal["observed", "declared"] = "observed"
    """Whether record times or `trueup close` show how far the source is complete."""
    lateness: Duration = 0
    """How much later than its time a record may arrive."""
    idle_after: PositiveDuration | None = None
    """The time without records after which the source counts as complete up to now."""
    complete: Literal["rename", "marker", "quiet"] = "rename"
    """How a file shows that it is complete."""
    marker: Marker = ".done"
    """The ending of a marker file."""
    quiet: Duration = 30 * MICROS
    """How long a file must be unchanged before it counts as complete."""
    attributes: Flag = True
    """Whether unmapped columns remain attributes of the event."""
    where: Text | None = None
    """A condition over source columns; other records are left out."""
    shared_files: Flag = False
    """Whether other sources may read the same files."""
    bill_lines: Flag = False
    """Whether charges of one session key without `partial_no` are lines of one bill; otherwise all but one are duplicates."""
    columns: dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule, json_schema_input_type=Text | ColumnRule)]] = Field(
        default_factory=dict
    )
    """Source columns by event column."""
    constants: dict[str, Text] = Field(default_factory=dict)
    """Fixed values by event column."""
    range: dict[str, tuple[Micros, Micros]] = Field(default_factory=dict)
    """The least and greatest value of decimal columns."""
    feed: FeedConfig = FeedConfig()
    """How the feed is numbered and how often it arrives."""
    framing: FramingConfig | None = None
    """First and last lines that are not records."""
    records: Text | None = None
    """The path of the list in each JSON line or document whose items are the records, such as `data.calls`."""
    parents: tuple[Text, ...] = ()
    """Paths of members around that list, from the document's beginning, which are columns of its records too."""
    element: Annotated[str, Field(pattern=r"^[^\W\d][\w.-]*$")] | None = None
    """The name of the XML elements that are the records, without a prefix."""
    record_type: RecordTypeConfig | None = None
    """Which lines belong to this source, in a file with records of several types."""
    sheet: Text | None = None
    """The name of the worksheet; by default the only visible one."""
    fixed: FixedConfig | None = None
    """The fields of a fixed-width file."""
    manifest: ManifestConfig | None = None
    """The file in which the sender declares each delivered file."""
    follow_links: Flag = False
    """Whether symbolic links may lead out of the folder of `path`."""
    limits: LimitsConfig = LimitsConfig()
    """Bounds of one delivered file of this source."""

    @model_validator(mode="before")
    @classmethod
    def _add_preset(cls, settings: Any) -> Any:
        """Add the settings of the preset that the table does not set itself."""
        return with_preset(settings) if isinstance(settings, dict) and settings.get(PRESET) is not None else settings

    @model_validator(mode="before")
    @classmethod
    def _add_stage(cls, settings: Any) -> Any:
        """Make the stage of the source a constant of its records."""
        constants = settings.get("constants", {}) if isinstance(settings, dict) else None
        if not isinstance(constants, dict) or not isinstance(settings.get("stage"), str):
            return settings
        return settings | {"constants": constants | {"stage": settings["stage"]}}

    @model_validator(mode="after")
    def _check_stage(self) -> Self:
        if self.stage is not None and self.stream != "stage":
            raise ValueError(
                f'`stage` is for a source with stream = "stage"; the sources of {self.stream} are its first or last stage'
            )
        if self.stream == "stage" and "stage" not in (*self.columns, *self.constants):
            raise ValueError('a source with stream = "stage" needs `stage`, or a column for stage')
        if self.stage is not None and "stage" in self.columns:
            raise ValueError("name the stage by `stage` or by a column, not by both")
        return self

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        known = STREAM_COLUMNS[self.stream]
        for name in (*self.columns, *self.constants):
            if name not in known:
                raise ValueError(f"unknown column {name!r} of stream {self.stream}; its columns are {', '.join(known)}")
        decimals = [name for name in known if name in DECIMAL_COLUMNS]
        for name in self.range:
            if name not in decimals:
                available = ", ".join(decimals) or "none"
                raise ValueError(f"`range` takes a decimal column, not {name!r}; stream {self.stream} has {available}")
        for name, (minimum, maximum) in self.range.items():
            if minimum > maximum:
                raise ValueError(f"the range of {name} ends before it begins")
        if self.delimiter == self.quote:
            raise ValueError(f"`delimiter` and `quote` are both {self.quote!r}")
        if self.format != "asterisk" and self.identity == "key" and "record_key" not in self.columns:
            raise ValueError('map record_key, or set identity = "content" or identity = "position"')
        return self

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        for path in self.path:
            if self.path.count(path) > 1:
                raise ValueError(f"`path` names {path!r} twice")
        return self

    @model_validator(mode="after")
    def _check_declared_once(self) -> Self:
        framed, manifest = self.framing, self.manifest
        for name in framed.sums if framed is not None else ():
            if name not in STREAM_COLUMNS[self.stream] or self.stream not in ("usage", "charge"):
                raise ValueError(f"`framing` finds the sum of {name}, which stream {self.stream} does not have")
        if framed is not None and manifest is not None and RECORDS in framed.groups & manifest.groups:
            raise ValueError(
                "`framing` and `manifest` both find the number of records; remove the group `records` from one of them"
            )
        return self

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.format == "fixed" and self.fixed is None:
            raise ValueError('format = "fixed" needs the fields of a line; declare them in [source.fixed]')
        if self.record_type is not None and self.format in ("csv", "fixed"):
            place = "field" if self.format == "csv" else "start"
            if getattr(self.record_type, place) is None:
                needed = "`field`" if place == "field" else "`start` and `length`"
                raise ValueError(f'`record_type` needs {needed} with format = "{self.format}"')
        if self.format == "xml" and self.element is None:
            raise ValueError('format = "xml" needs `element`, the name of the elements that are the records')
        if self.records is not None and self.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
            raise ValueError(f"`records` finds lists in UTF-8, not in {self.encoding}")
        if self.records is not None and not all(self.records.split(".")):
            raise ValueError(f"`records` = {self.records!r} must be names of members with dots between them, such as 'data.calls'")
        return self

    @model_validator(mode="after")
    def _check_parents(self) -> Self:
        if self.parents and self.records is None:
            raise ValueError("`parents` are members around a list: set `records`, the path of the list")
        for path in self.parents:
            if not all(path.split(".")) or f"{path}.".startswith(f"{self.records}."):
                raise ValueError(f"`parents` has {path!r}, which is no path of a member outside of the list {self.records!r}")
        return self

    @property
    def has_equal_records(self) -> bool:
        """Whether all records of a file have the same columns; members of JSON records and RADIUS attributes may differ."""
        return self.format not in ("ndjson", "json", "xml", "radius")

    @property
    def scope(self) -> str:
        """The name within which record keys are unique."""
        return self.key_scope or self.name
