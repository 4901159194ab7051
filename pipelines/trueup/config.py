"""`trueup.toml`: what a project reads, how it matches, where its lake lies."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from trueup.errors import ConfigError
from trueup.regular import read_regular
from trueup.secret import Place, remember_variable, without_credentials

FILE_NAME = "trueup.toml"
MOST_TOML_BYTES = 16 << 20
MICROS = 1_000_000
_UNITS_US = {"us": 1, "ms": 1_000, "s": MICROS, "m": 60 * MICROS, "h": 3_600 * MICROS, "d": 86_400 * MICROS}
_BYTES = TypeAdapter(ByteSize)
_LEAST_BYTES, _MOST_BYTES = 1 << 26, 1 << 50
_MOST_DAYS = 365_250
_VARIABLE = re.compile(r"\$\{(\w+)\}")

Match = Literal["session_key", "nearest", "aggregate"]
BucketBy = Literal["subscriber", "account", "session_key"]
Stream = Literal["usage", "charge", "subscriber", "tariff"]
GateSeverity = Literal["block", "mark", "note"]
Severity = Literal["quarantine", "block", "mark", "note"]

USAGE_COLUMNS = (
    "record_key", "session_key", "account", "service", "subscriber", "peer", "direction", "node", "cell",
    "started_at", "quantity", "partial_no",
)  # fmt: skip
CHARGE_COLUMNS = (*USAGE_COLUMNS, "amount", "currency", "tariff_code", "invoice_id", "billed_at")
SUBSCRIBER_COLUMNS = (
    "record_key", "system", "subscriber", "account", "imsi", "plan", "segment", "status", "valid_from", "valid_to",
)  # fmt: skip
TARIFF_COLUMNS = (
    "record_key", "item", "tariff_code", "plan", "service", "direction", "zone", "trunk", "destination", "band",
    "valid_from", "valid_to", "currency", "setup", "price", "price_per", "first_increment", "next_increment", "minimum",
    "tier_from", "rounding", "decimals", "rounding_stage", "tax", "tax_included", "unit", "weekdays", "from_time", "to_time",
    "timezone", "calendar", "name", "services", "shared", "period", "to_currency", "units",
)  # fmt: skip
STREAM_COLUMNS = {
    "usage": USAGE_COLUMNS, "charge": CHARGE_COLUMNS, "subscriber": SUBSCRIBER_COLUMNS, "tariff": TARIFF_COLUMNS,
}  # fmt: skip
"""What `[source.columns]` may name, by stream."""
DECIMAL_COLUMNS = frozenset({
    "quantity", "amount", "setup", "price", "first_increment", "next_increment", "minimum", "tier_from", "tax", "units",
})  # fmt: skip
"""Those that are decimals, and millionths in the log."""


def duration_us(text: object) -> int:
    """Microseconds of a duration such as `2s`, `36h` or `500ms`; raises `ValueError` for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)\s*", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as '2s', '5m', '36h' or '62d'")
    exact = Decimal(found[1]) * _UNITS_US[found[2]]
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than a microsecond")
    if exact > _MOST_DAYS * _UNITS_US["d"]:
        raise ValueError(f"{text!r} is longer than a thousand years")
    return int(exact)


def time_limit_us(text: object) -> int:
    """Microseconds of a duration that something may take; raises `ValueError` for none, and for anything else."""
    limit_us = duration_us(text)
    if not limit_us:
        raise ValueError(f"{text!r} would leave no time at all; write one such as '30s' or '5m'")
    return limit_us


def size_bytes(text: object) -> int:
    """Bytes of a size such as `512MiB` or `2GB`, from 64 MiB up; raises `ValueError` for anything else."""
    try:
        size = _BYTES.validate_python(text)
    except ValidationError:
        raise ValueError(f"{text!r} is not a size; write a number and a unit, such as '512MiB' or '2GiB'") from None
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        raise ValueError(f"{text!r} is not between 64MiB and 1PiB; write a number and a unit, such as '512MiB' or '2GiB'")
    return int(size)


def _positive(duration_us: int) -> int:
    if not duration_us:
        raise ValueError("a duration of 0 has no meaning here; write one such as '5m'")
    return duration_us


def _not_negative(micros: int) -> int:
    if micros < 0:
        raise ValueError("must not be negative")
    return micros


def decimal_micros(text: object) -> int:
    """Millionths of a decimal number written as text or whole number, exactly; raises `ValueError` otherwise."""
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} must be a whole number or a decimal number in quotes, so that no float rounds it")
    try:
        micros = Decimal(str(text)) * MICROS
    except InvalidOperation:
        raise ValueError(f"{text!r} is no decimal number") from None
    if not micros.is_finite() or micros != int(micros) or abs(micros) >= 2**63:
        raise ValueError(f"{text!r} has more than six decimals or does not fit 64 bits of millionths")
    return int(micros)


def _quantity_micros(text: object) -> int:
    try:
        return duration_us(text)
    except ValueError:
        return decimal_micros(text)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: a folder of the time zone database, such as Europe, or a name that no file can have.
        raise ValueError(f"{name!r} is no time zone; use a name such as 'Europe/Berlin' or 'UTC'") from None
    return name


def _character(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise ValueError(f"{text!r} must be one ASCII character that ends no line")
    return text


def _marker(suffix: str) -> str:
    if not suffix or "/" in suffix or "\0" in suffix:
        raise ValueError(f"{suffix!r} must be the ending of a file's name, such as '.done'")
    return suffix


def _country(code: str) -> str:
    if not re.fullmatch("[1-9][0-9]{0,3}", code):
        raise ValueError(f"{code!r} must be a country code in digits, such as '49'")
    return code


def _unit_of_money(code: str) -> str:
    if not re.fullmatch(r"\S{1,32}", code):
        raise ValueError(f"{code!r} must be a code without blanks, such as 'SDR'")
    return code


def _named(place: Place) -> Place:
    if not place.get_secret_value():
        raise ValueError("must not be empty")
    return place


NamedPlace = Annotated[Place, AfterValidator(_named)]
TimeLimit = Annotated[int, BeforeValidator(time_limit_us)]
Size = Annotated[int, BeforeValidator(size_bytes)]
Duration = Annotated[int, BeforeValidator(duration_us)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Micros = Annotated[int, BeforeValidator(decimal_micros)]
Tolerance = Annotated[Micros, AfterValidator(_not_negative)]
QuantityTolerance = Annotated[int, BeforeValidator(_quantity_micros), AfterValidator(_not_negative)]
Zone = Annotated[str, AfterValidator(_zone)]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(strict=True)]
"""A whole number as TOML writes it: neither `true` nor a text."""
Flag = Annotated[bool, Field(strict=True)]
AsciiCharacter = Annotated[str, AfterValidator(_character)]
Marker = Annotated[str, AfterValidator(_marker)]
CountryCode = Annotated[str, AfterValidator(_country)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class LakeConfig(_Table):
    """`[lake]`: where the event log lies and how it is divided."""

    catalog: NamedPlace = Place("sqlite:lake/catalog.sqlite")
    data: NamedPlace = Place("lake/data")
    buckets: Annotated[Whole, Field(ge=1, le=32_767)] = 64
    bucket_by: BucketBy = "subscriber"


FileSize = Annotated[ByteSize, Field(ge=1, le=1 << 40)]


class LimitsConfig(_Table):
    """`[limits]`, and below a source `[source.limits]`: what one delivered file may cost. Sizes: a number of bytes, or `64MiB`.

    A record beyond `record_bytes`, `columns` members or `depth` goes to quarantine. A file whose header, schema, pages, footer or
    manifest is beyond its limit is refused, as is one that unpacks to more than `expansion` times its size. `kept_bytes` of each
    rejected record lie in quarantine, and no more than `quarantine_bytes` of a file. A pattern may match `files` files.
    """

    record_bytes: Annotated[FileSize, Field(le=256 << 20)] = ByteSize(1 << 20)
    kept_bytes: Annotated[FileSize, Field(le=16 << 20)] = ByteSize(1 << 16)
    quarantine_bytes: FileSize = ByteSize(256 << 20)
    columns: Annotated[int, Field(ge=1, le=100_000)] = 4_096
    depth: Annotated[int, Field(ge=1, le=1_000)] = 100
    expansion: Annotated[int, Field(ge=1)] = 200
    page_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(128 << 20)
    footer_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(16 << 20)
    manifest_bytes: Annotated[FileSize, Field(le=1 << 31)] = ByteSize(16 << 20)
    files: Annotated[int, Field(ge=1)] = 1_000_000


class ProjectConfig(_Table):
    """`[project]`: what holds for all sources. `further_currencies` are units of money that ISO 4217 does not have."""

    timezone: Zone = "UTC"
    currency: str = "EUR"
    further_currencies: tuple[Annotated[str, AfterValidator(_unit_of_money)], ...] = ()
    horizon: PositiveDuration = 62 * 86_400 * MICROS
    max_age: PositiveDuration = 3_650 * 86_400 * MICROS
    max_clock_jump: Annotated[Duration, Field(ge=3_600 * MICROS)] = 86_400 * MICROS


class ColumnRule(_Table):
    """How one event column is made of source columns."""

    column: Text | None = None
    columns: tuple[Text, ...] = ()
    separator: str = "|"
    scale: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    unit: str | None = None
    map: dict[str, str] | None = None
    e164: CountryCode | None = None
    timezone: Zone | None = None
    time_format: str | None = None
    optional: Flag = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (not self.columns):
            raise ValueError("name either `column` or `columns`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The source columns read."""
        return self.columns or (str(self.column),)


def _rule(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _groups(pattern: str) -> set[str]:
    try:
        return set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from None


def _pattern(text: str) -> str:
    _groups(text)
    return text


def _naming(pattern: str) -> str:
    if "sequence" not in _groups(pattern):
        raise ValueError(f"{pattern!r} must name its number in sequence: (?P<sequence>[0-9]+), and may name (?P<node>...)")
    return pattern


def _placing(pattern: str) -> str:
    if "destination" not in _groups(pattern):
        raise ValueError(f"{pattern!r} must name where the other party is: (?P<destination>[0-9]{{2}})")
    return pattern


Naming = Annotated[str, AfterValidator(_naming)]
Placing = Annotated[str, AfterValidator(_placing)]


class FeedConfig(_Table):
    """`[source.feed]`: how a feed comes in when it is whole.

    `file` and `record` say how file names and record keys are numbered: patterns with a group `sequence`, and `node` where each
    node counts on its own. `destination` says what of the other party is where it is: a pattern with a group of that name, whose
    shares of the traffic are watched. `every` is how often records are delivered, `late_after` how much later than that is still
    in time.
    """

    file: Naming | None = None
    record: Naming | None = None
    destination: Placing | None = None
    every: PositiveDuration | None = None
    late_after: Duration = 0


class ManifestConfig(_Table):
    """`[source.manifest]`: the file beside each file in which its sender declares what it holds.

    `path` names it, seen from the file's folder: `{name}` is the file's name, `{stem}` that without its last ending. `pattern`
    finds the groups `records`, `sha256` or both in its text; `{name}` in it stands for the file's name, where one manifest tells
    of many files.
    """

    path: Annotated[str, Field(min_length=1)]
    pattern: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not {"records", "sha256"} & _groups(self.pattern.replace("{name}", "name")):
            raise ValueError(f"{self.pattern!r} must find what is declared: (?P<records>[0-9]+) or (?P<sha256>[0-9a-f]{{64}})")
        if "{name}" not in self.path + self.pattern and "{stem}" not in self.path:
            raise ValueError("neither `path` nor `pattern` says which file is told of: write {name} where its name stands")
        return self


class SourceConfig(_Table):
    """`[[source]]`: one feed, and how its records become events."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    stream: Stream
    path: Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(lambda p: (p,) if isinstance(p, str) else p)]
    format: Literal["csv", "ndjson", "parquet", "asterisk"] = "csv"
    timezone: Zone | None = None
    time_format: Text = "iso"
    ambiguous: Literal["earliest", "latest", "quarantine"] = "quarantine"
    delimiter: AsciiCharacter = ","
    quote: AsciiCharacter = '"'
    header: Flag = True
    encoding: Text = "utf-8"
    quoted_newlines: Flag = False
    identity: Literal["key", "content", "position"] = "key"
    key_scope: str | None = None
    frontier: Literal["observed", "declared"] = "observed"
    lateness: Duration = 0
    idle_after: PositiveDuration | None = None
    complete: Literal["rename", "marker", "quiet"] = "rename"
    marker: Marker = ".done"
    quiet: Duration = 30 * MICROS
    attributes: Flag = True
    shared_files: Flag = False
    columns: dict[str, Annotated[ColumnRule, BeforeValidator(_rule)]] = {}
    constants: dict[str, Text] = {}
    range: dict[str, tuple[Micros, Micros]] = {}
    feed: FeedConfig = FeedConfig()
    manifest: ManifestConfig | None = None
    follow_links: bool = False
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        known = STREAM_COLUMNS[self.stream]
        for name in (*self.columns, *self.constants):
            if name not in known:
                raise ValueError(f"{name!r} is no column of {self.stream}; it has {', '.join(known)}")
        decimals = [name for name in known if name in DECIMAL_COLUMNS]
        for name in self.range:
            if name not in decimals:
                there = ", ".join(decimals) or "none"
                raise ValueError(f"{name!r} is no decimal of {self.stream}, which `range` is of; it has {there}")
        for name, (least, greatest) in self.range.items():
            if least > greatest:
                raise ValueError(f"the range of {name} ends before it begins")
        if self.delimiter == self.quote:
            raise ValueError(f"`delimiter` and `quote` are both {self.quote!r}")
        if self.format != "asterisk" and self.identity == "key" and "record_key" not in self.columns:
            raise ValueError('map record_key, or say identity = "content" or identity = "position"')
        return self

    @property
    def scope(self) -> str:
        """The name within which record keys are unique."""
        return self.key_scope or self.name


class ServiceConfig(_Table):
    """`[reconcile.NAME]`: how the usage and charges of one service are matched and priced."""

    match: tuple[Match, ...] = ("session_key",)
    start_tolerance: Duration = 0
    quantity_tolerance: QuantityTolerance = 0
    amount_tolerance: Tolerance = 0
    grace: Duration = 0
    price: Micros | None = None
    price_per: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    currency: str | None = None
    period: PositiveDuration = 86_400 * MICROS

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.match:
            raise ValueError("`match` names no way to match")
        if len(set(self.match)) < len(self.match):
            raise ValueError("`match` names one way to match twice")
        if "aggregate" in self.match and len(self.match) > 1:
            raise ValueError('"aggregate" stands alone in `match`')
        if self.grace < self.start_tolerance:
            raise ValueError("`grace` must be at least `start_tolerance`")
        return self


class RatingConfig(_Table):
    """`[rating]`: which attributes of a record prices may ask for, and how long the systems may disagree on a subscription."""

    zone: Annotated[str, Field(pattern=r"^[^\"'$]+$")] | None = None
    trunk: Annotated[str, Field(pattern=r"^[^\"'$]+$")] | None = None
    provisioning_grace: Duration = 86_400 * MICROS


class HotRule(_Table):
    """`[[fraud.rule]]`: what needs no learning. It alerts, or with `shadow = true` only counts.

    `kind`: `hot_list` (peer or subscriber is one of `numbers`), `range` (the peer begins with one of `prefixes`), `velocity`
    (`feature` is above `above`), `overlap` (more calls at once than `above`), `travel` (two cells of different `areas` sooner
    after each other than `within`).
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    kind: Literal["hot_list", "range", "velocity", "overlap", "travel"]
    numbers: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    feature: str | None = None
    above: Whole = 0
    within: Duration = 0
    area: Annotated[str, AfterValidator(_pattern)] = r"^([^-]+)"
    shadow: Flag = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        needs = {"hot_list": "numbers", "range": "prefixes", "velocity": "feature", "travel": "within"}.get(self.kind)
        if needs and not getattr(self, needs):
            raise ValueError(f"a rule of kind {self.kind} needs `{needs}`")
        return self


class FraudConfig(_Table):
    """`[fraud]`: which services are what, how many alerts a day can be looked at, where models lie, and rules beside them."""

    calls: tuple[str, ...] = ("voice", "roaming")
    received: tuple[str, ...] = ("incoming",)
    messages: tuple[str, ...] = ("sms",)
    volumes: tuple[str, ...] = ("data", "zero_rated", "iot")
    free_volumes: tuple[str, ...] = ("zero_rated",)
    roaming: tuple[str, ...] = ("roaming",)
    home_prefixes: tuple[str, ...] = ()
    premium_prefixes: tuple[str, ...] = ()
    imei: Annotated[str, Field(pattern=r"^\w+$")] = "imei"
    imsi: Annotated[str, Field(pattern=r"^\w+$")] = "imsi"
    timezone: Zone = "UTC"
    label_delay: Duration = 7 * 86_400 * MICROS
    alerts_per_day: Annotated[Whole, Field(ge=1)] = 100
    models: Text = "models"
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 0
    trials: Annotated[Whole, Field(ge=1, le=200)] = 6
    rule: tuple[HotRule, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [rule.name for rule in self.rule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}")
        return self


class ExpectationConfig(_Table):
    """`[[expectation]]`: one more thing that must hold of a stream, in the words of Great Expectations."""

    name: Annotated[str, Field(min_length=1)]
    stream: Stream
    source: str | None = None
    type: Annotated[str, Field(pattern=r"^expect_\w+$")]
    arguments: dict[str, Any] = {}
    severity: Severity = "mark"
    notes: Annotated[str, Field(min_length=1)]


class GateConfig(_Table):
    """`[quality.gate]`: what becomes of a day that a completeness finding is about."""

    missing_records: GateSeverity = "mark"
    stale_feed: GateSeverity = "block"
    volume_drop: GateSeverity = "mark"
    total_mismatch: GateSeverity = "mark"


class QualityConfig(_Table):
    """`[quality]`: where more expectations are, which days are unlike others, and what a failure does.

    `false_alarms_per_year` is how many findings of volume and mix a node and service may raise in a year in which nothing was
    wrong; `lookback` is how far back hours are judged again when records arrive for them.
    """

    file: str | None = None
    holidays: tuple[date, ...] = ()
    false_alarms_per_year: Annotated[Whole, Field(ge=1, le=365)] = 2
    lookback: PositiveDuration = 62 * 86_400 * MICROS
    gate: GateConfig = GateConfig()


class SqlConfig(_Table):
    """`[sql]`: what one question of `trueup sql` may take.

    `timeout` is for the query and the writing of its answer. `memory` is what DuckDB may hold before it spills to temporary files,
    `temp` how much it may spill. `threads` counts no more than the machine has processors.
    """

    timeout: TimeLimit = 5 * 60 * MICROS
    memory: Size = 2 << 30
    temp: Size = 10 << 30
    threads: Annotated[int, Field(ge=1, le=1024)] = 4


class AnchorConfig(_Table):
    """`[anchor]`: which key signs statements of the log's head, and where they go.

    `to` is a folder, or a file that ends in `.json`; `to_command` a program and its arguments that gets each anchor as its standard
    input, for at most `timeout`. `public_keys` are further keys whose anchors are trusted, such as the one before. `run` says
    whether `trueup run` writes an anchor at its end.
    """

    key: Annotated[str, Field(min_length=1)] | None = None
    public_keys: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    to: Annotated[str, Field(min_length=1)] = "anchors"
    to_command: Annotated[str, Field(min_length=1)] | None = None
    timeout: Annotated[Duration, Field(gt=0)] = 60 * MICROS
    run: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.run and self.key is None:
            raise ValueError("`run` needs `key`, which signs the anchors")
        return self


class Config(_Table):
    """A whole `trueup.toml`."""

    lake: LakeConfig = LakeConfig()
    project: ProjectConfig = ProjectConfig()
    limits: LimitsConfig = LimitsConfig()
    source: tuple[SourceConfig, ...] = ()
    reconcile: dict[Text, ServiceConfig] = {}
    rating: RatingConfig = RatingConfig()
    fraud: FraudConfig = FraudConfig()
    expectation: tuple[ExpectationConfig, ...] = ()
    quality: QualityConfig = QualityConfig()
    sql: SqlConfig = SqlConfig()
    anchor: AnchorConfig = AnchorConfig()

    @model_validator(mode="before")
    @classmethod
    def _limits_of_sources(cls, tables: Any) -> Any:
        """A source has the limits of `[limits]` where `[source.limits]` sets no other."""
        general = tables.get("limits") if isinstance(tables, dict) else None
        sources = tables.get("source") if isinstance(tables, dict) else None
        if not isinstance(general, dict) or not isinstance(sources, list | tuple):
            return tables
        return tables | {"source": [_with_limits(source, general) for source in sources]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [s.name for s in self.source]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}")
        if self.lake.bucket_by == "session_key":
            for service, rules in self.reconcile.items():
                if rules.match != ("session_key",):
                    raise ValueError(
                        f'[reconcile.{service}] matches by {", ".join(rules.match)}, which bucket_by = "session_key" cannot'
                    )
        return self


def _with_limits(source: object, general: dict[str, Any]) -> object:
    if not isinstance(source, dict) or not isinstance(source.get("limits", {}), dict):
        return source
    return source | {"limits": general | source.get("limits", {})}


class Project:
    """A project folder: its configuration, and paths resolved against it."""

    def __init__(self, directory: Path, config: Config) -> None:
        if not is_utf8(str(directory)):
            where = as_utf8(str(directory))
            raise ConfigError("the name of the project's folder is not UTF-8", where=where, todo="rename the folder")
        self.directory, self.config = directory, config

    @classmethod
    def load(cls, directory: Path | str) -> Project:
        """Reads `trueup.toml` in `directory`; raises `ConfigError` for a missing file or a setting that cannot be meant."""
        folder = Path(directory)
        path = folder / FILE_NAME
        try:
            text = read_regular(path, most_bytes=MOST_TOML_BYTES).decode("utf-8")
        except FileNotFoundError:
            raise ConfigError(
                "there is no trueup.toml", where=str(folder), todo="run `trueup init DIR` or name the folder with --project"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ConfigError(f"trueup.toml cannot be read: {reason}", where=str(path)) from None
        return cls(folder.resolve(), parse(text, where=str(path)))

    def resolve(self, path: str) -> Path:
        """An absolute path; relative ones start at the project's folder. `${NAME}` takes the environment's value."""
        return self.directory / expand_path(path)


def variables(text: str) -> dict[str, str]:
    """The value of each `${NAME}` in a setting, by name; raises `ConfigError` for one that is not set or is not UTF-8."""
    values = {}
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise ConfigError(f"the environment variable {name} is not set", where=without_credentials(text), todo=f"set {name}")
        values[name] = os.environ[name]
        if not is_utf8(values[name]):
            raise ConfigError(f"the environment variable {name} is not UTF-8", todo=f"set {name} to text in UTF-8")
    return values


def expand(text: str, quote: Callable[[str], str] = str) -> str:
    """Replaces `${NAME}` by the environment's value, as `quote` writes it.

    Raises `ConfigError` where a variable is not set or is not UTF-8.
    """
    values = variables(text)
    return _VARIABLE.sub(lambda found: quote(values[found[1]]), text)


def expand_path(text: str, quote: Callable[[str], str] = str) -> str:
    """The same for a path; messages show the values as `${NAME}` from now on."""
    for name, value in variables(text).items():
        remember_variable(name, value)
    return expand(text, quote)


def as_utf8(text: str) -> str:
    """Text of the system that can be printed: bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def is_utf8(text: str) -> bool:
    """Whether text is whole: the system's bytes that are not UTF-8 come as surrogates, which nothing else can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def zone_of(name: str, where: str) -> str:
    """The name of a time zone that a person types; raises `ConfigError` for any other text."""
    try:
        return _zone(name)
    except ValueError as error:
        raise ConfigError(str(error), where=where) from None


def parse(text: str, *, where: str = FILE_NAME) -> Config:
    """A `Config` from TOML text; raises `ConfigError` naming each setting that is wrong."""
    try:
        # Some editors begin a file with a byte order mark, which is no TOML.
        tables: dict[str, Any] = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not TOML: {error}", where=where) from None
    try:
        return Config.model_validate(tables)
    except ValidationError as error:
        message = "; ".join(f"{_place(tables, e['loc'])}: {_message(e)}" for e in error.errors())
        raise ConfigError(message, where=where, todo="correct the settings named") from None


_NAMED_LISTS = {"source": "[[source]]", "expectation": "[[expectation]]"}


def _place(tables: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """The table and key of a setting: tables of a list by their name, or by their number from 1 where they have none."""
    head, rest = "", location
    if len(location) > 1 and location[0] in _NAMED_LISTS:
        name, rest = _name_in(tables[str(location[0])], location[1]), location[2:]
        head = f"{_NAMED_LISTS[str(location[0])]} {name}"
    elif location[:2] == ("fraud", "rule") and len(location) > 2:
        head, rest = f"[[fraud.rule]] {_name_in(tables['fraud']['rule'], location[2])}", location[3:]
    return ", ".join(filter(None, (head, ".".join(str(part) for part in rest)))) or "file"


def _name_in(items: Any, index: int | str) -> str:
    item = items[index] if isinstance(index, int) and isinstance(items, list) else None
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else str(index + 1 if isinstance(index, int) else index)


_TYPES = {
    "extra_forbidden": "this setting is unknown", "missing": "this setting is missing", "tuple_type": "must be a list",
    "dict_type": "must be a table", "model_type": "must be a table", "string_type": "must be a text in quotes",
    "int_type": "must be a whole number", "bool_type": "must be true or false", "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}  # fmt: skip


def _message(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")
    return _TYPES.get(error["type"], message)
