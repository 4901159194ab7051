"""`[[source]]`: one feed, its mapping, its numbering and its manifest."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from trueup.config.columns import DECIMAL_COLUMNS, STREAM_COLUMNS, Stream
from trueup.config.tables.framing import RECORDS, FramingConfig
from trueup.config.tables.limits import LimitsConfig
from trueup.config.tables.notation import NotationConfig
from trueup.config.values import (
    AsciiCharacter,
    CountryCode,
    DestinationPattern,
    Duration,
    Flag,
    Marker,
    Micros,
    PositiveDuration,
    SequencePattern,
    Table,
    Text,
    Whole,
    Zone,
    pattern_groups,
)
from trueup.units import MICROS


class ColumnRule(Table):
    """A value of `[source.columns]`: how one event column is built from source columns."""

    column: Text | None = None
    columns: tuple[Text, ...] = ()
    expression: Text | None = None
    separator: str = "|"
    scale: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    unit: str | None = None
    map: dict[str, str] | None = None
    e164: CountryCode | None = None
    notation: NotationConfig | None = None
    duration: Literal["h:m:s", "h:m", "m:s", "units"] | None = None
    timezone: Zone | None = None
    time_format: str | None = None
    optional: Flag = False

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if [self.column is not None, bool(self.columns), self.expression is not None].count(True) != 1:
            raise ValueError("name either `column`, `columns` or `expression`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The source columns whose texts it takes; an expression computes with others."""
        return self.columns or ((self.column,) if self.column is not None else ())


def _as_rule(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class FeedConfig(Table):
    """`[source.feed]`: how the records of a complete feed are numbered and how often they arrive.

    `file` and `record` find the number in file names and record keys: patterns with a group `sequence`, and a group `node` where
    each node counts separately. `destination` finds the destination of the peer: a pattern with a group of that name. Quality
    watches each destination's share of the traffic. `every` is the interval between deliveries; a delivery is stale `late_after`
    later.
    """

    file: SequencePattern | None = None
    record: SequencePattern | None = None
    destination: DestinationPattern | None = None
    every: PositiveDuration | None = None
    late_after: Duration = 0


class ManifestConfig(Table):
    """`[source.manifest]`: the file in which the sender declares the content of each delivered file.

    `path` names it, relative to the folder of the delivered file: `{name}` is the file's name, `{stem}` the name without its last
    ending. `pattern` finds the groups `records`, `sha256` or both in its text. In a manifest of many files, `{name}` in `pattern`
    is replaced by the name of the delivered file.
    """

    path: Annotated[str, Field(min_length=1)]
    pattern: Annotated[str, Field(min_length=1)]

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
    stream: Stream
    path: Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(lambda p: (p,) if isinstance(p, str) else p)]
    format: Literal["csv", "ndjson", "parquet", "asterisk"] = "csv"
    timezone: Zone | None = None
    time_format: Text = "iso"
    ambiguous: Literal["earliest", "latest", "quarantine"] = "quarantine"
    notation: NotationConfig = NotationConfig()
    trim: Flag = True
    mapping_version: Annotated[Whole, Field(ge=1, le=2)] | None = None
    delimiter: AsciiCharacter = ","
    quote: AsciiCharacter = '"'
    header: Flag = True
    repeated_header: Flag = True
    encoding: Text = "utf-8"
    quoted_newlines: Flag = False
    skip_lines: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    identity: Literal["key", "content", "position"] = "key"
    key_scope: str | None = None
    frontier: Literal["observed", "declared"] = "observed"
    lateness: Duration = 0
    idle_after: PositiveDuration | None = None
    complete: Literal["rename", "marker", "quiet"] = "rename"
    marker: Marker = ".done"
    quiet: Duration = 30 * MICROS
    attributes: Flag = True
    where: Text | None = None
    shared_files: Flag = False
    columns: dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule)]] = Field(default_factory=dict)
    constants: dict[str, Text] = Field(default_factory=dict)
    range: dict[str, tuple[Micros, Micros]] = Field(default_factory=dict)
    feed: FeedConfig = FeedConfig()
    framing: FramingConfig | None = None
    manifest: ManifestConfig | None = None
    follow_links: bool = False
    limits: LimitsConfig = LimitsConfig()

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
    def _check_declared_once(self) -> Self:
        framed, manifest = self.framing, self.manifest
        if framed is not None and manifest is not None and RECORDS in framed.groups & manifest.groups:
            raise ValueError(
                "`framing` and `manifest` both find the number of records; remove the group `records` from one of them"
            )
        return self

    @property
    def scope(self) -> str:
        """The name within which record keys are unique."""
        return self.key_scope or self.name
