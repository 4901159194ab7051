"""Values of settings: durations, sizes, decimals, time zones, codes and patterns, each read from TOML and checked."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, TypeAdapter, ValidationError

from trueup.errors import ConfigError
from trueup.secret import Place
from trueup.units import MICROS
from trueup.zones import check_zone

_UNITS_US = {"us": 1, "ms": 1_000, "s": MICROS, "m": 60 * MICROS, "h": 3_600 * MICROS, "d": 86_400 * MICROS}
_BYTES = TypeAdapter(ByteSize)
_MIN_BYTES, _MAX_BYTES = 1 << 26, 1 << 50
_MAX_DAYS = 365_250


class Table(BaseModel):
    """A TOML table: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


def duration_us(text: object) -> int:
    """Return the microseconds of a duration such as `2s`, `36h` or `500ms`; raise `ValueError` for any other text."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)\s*", text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"invalid duration {text!r}; write a number and a unit, such as '2s', '5m', '36h' or '62d'")
    exact_us = Decimal(match[1]) * _UNITS_US[match[2]]
    if exact_us != int(exact_us):
        raise ValueError(f"{text!r} is finer than a microsecond")
    if exact_us > _MAX_DAYS * _UNITS_US["d"]:
        raise ValueError(f"{text!r} is longer than a thousand years")
    return int(exact_us)


def time_limit_us(text: object) -> int:
    """Return the microseconds of a time limit; raise `ValueError` for a limit of zero or anything but a duration."""
    limit_us = duration_us(text)
    if not limit_us:
        raise ValueError(f"a time limit of {text!r} would stop every query; write one such as '30s' or '5m'")
    return limit_us


def size_bytes(text: object) -> int:
    """Return the bytes of a size such as `512MiB` or `2GB`, from 64 MiB up; raise `ValueError` for anything else."""
    try:
        size = _BYTES.validate_python(text)
    except ValidationError:
        raise ValueError(f"invalid size {text!r}; write a number and a unit, such as '512MiB' or '2GiB'") from None
    if not _MIN_BYTES <= size <= _MAX_BYTES:
        raise ValueError(f"{text!r} is not between 64MiB and 1PiB; write a number and a unit, such as '512MiB' or '2GiB'")
    return int(size)


def _check_positive(duration_us: int) -> int:
    if not duration_us:
        raise ValueError("must be longer than 0; write one such as '5m'")
    return duration_us


def _parse_period(text: object) -> int | str:
    """Return a calendar period by its name, or the microseconds of a duration; a day is one of 24 hours of wall clock."""
    if text in ("week", "month"):
        return str(text)
    try:
        return _check_positive(duration_us("1d" if text == "day" else text))
    except ValueError as error:
        raise ValueError(f"{error}; or write 'day', 'week' or 'month'") from None


def _sum_period(text: object) -> int | str:
    """Return the billing cycle by its name, or another period."""
    if text == "cycle":
        return "cycle"
    try:
        return _parse_period(text)
    except ValueError as error:
        raise ValueError(str(error).replace("'day', 'week' or 'month'", "'day', 'week', 'month' or 'cycle'")) from None


def _check_not_negative(micros: int) -> int:
    if micros < 0:
        raise ValueError("must not be negative")
    return micros


def decimal_micros(text: object) -> int:
    """Return the millionths of a decimal number, exactly; raise `ValueError` for anything but quoted text or a whole number."""
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} must be a whole number or a decimal number in quotes, so that no float rounds it")
    try:
        micros = Decimal(str(text)) * MICROS
    except InvalidOperation:
        raise ValueError(f"invalid decimal number {text!r}") from None
    if not micros.is_finite() or micros != int(micros) or abs(micros) >= 2**63:
        raise ValueError(f"{text!r} has more than six decimals or does not fit 64 bits of millionths")
    return int(micros)


def _share(micros: int) -> int:
    if not 0 <= micros <= MICROS:
        raise ValueError("must lie between '0' and '1'")
    return micros


def _parse_quantity_micros(text: object) -> int:
    try:
        return duration_us(text)
    except ValueError:
        return decimal_micros(text)


def zone_of(name: str, where: str) -> str:
    """Return the name of a time zone given on the command line; raise `ConfigError` for an unknown one."""
    try:
        return check_zone(name)
    except ValueError as error:
        raise ConfigError(str(error), where=where) from None


def _refuse_flag(value: object) -> object:
    # Python counts a truth value as a whole number.
    if isinstance(value, bool | float):
        raise ValueError(f"invalid size {value!r}; write a number of bytes, or a number and a unit, such as '64MiB'")
    return value


def _check_character(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise ValueError(f"{text!r} must be one ASCII character, and not a line break")
    return text


def _check_marker(suffix: str) -> str:
    if not suffix or "/" in suffix or "\0" in suffix:
        raise ValueError(f"{suffix!r} must be the ending of a file name, such as '.done'")
    return suffix


def _check_country(code: str) -> str:
    if not re.fullmatch("[1-9][0-9]{0,3}", code):
        raise ValueError(f"{code!r} must be a country code in digits, such as '49'")
    return code


def _check_prefix(prefix: str) -> str:
    if not re.fullmatch("[0-9]{1,8}", prefix):
        raise ValueError(f"{prefix!r} must be one to eight digits, such as '011'")
    return prefix


def _check_currency_code(code: str) -> str:
    if not re.fullmatch(r"\S{1,32}", code):
        raise ValueError(f"{code!r} must be a code without blanks, such as 'SDR'")
    return code


def _check_place(place: Place) -> Place:
    if not place.get_secret_value():
        raise ValueError("must not be empty")
    return place


def pattern_groups(pattern: str) -> set[str]:
    """Return the names of a pattern's groups; raise `ValueError` for an invalid regular expression."""
    try:
        return set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"invalid pattern {pattern!r}: {error}") from None


def _check_pattern(text: str) -> str:
    pattern_groups(text)
    return text


def _check_sequence_pattern(pattern: str) -> str:
    if "sequence" not in pattern_groups(pattern):
        raise ValueError(f"{pattern!r} must have a group (?P<sequence>[0-9]+), and may have a group (?P<node>...)")
    return pattern


def _check_record_pattern(pattern: str) -> str:
    return _check_query_pattern(_check_sequence_pattern(pattern))


def _check_query_pattern(pattern: str) -> str:
    """Raise `ValueError` for a pattern that only Python reads; queries know no pattern that looks ahead or behind."""
    # Most commands read settings without such a pattern, and importing this takes longer than reading them.
    import polars as pl

    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.ComputeError:
        raise ValueError(
            f"queries cannot read the pattern {pattern!r}: write it without (?=, (?!, (?<=, (?<! and references to groups"
        ) from None
    return pattern


def _check_destination_pattern(pattern: str) -> str:
    if "destination" not in pattern_groups(pattern):
        raise ValueError(f"{pattern!r} must have a group (?P<destination>[0-9]{{2}}), which finds the peer's destination")
    return _check_query_pattern(pattern)


_DurationText = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|h|d)\s*$", examples=["2s", "36h", "62d"])]
_DecimalText = Annotated[str, Field(pattern=r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$", examples=["0.005"])]
"""The form of values in the file, for the JSON Schema; validators turn these texts into numbers."""

NonEmptyPlace = Annotated[Place, AfterValidator(_check_place)]
TimeLimit = Annotated[int, BeforeValidator(time_limit_us, json_schema_input_type=_DurationText)]
Size = Annotated[int, BeforeValidator(size_bytes, json_schema_input_type=str | int)]
FileSize = Annotated[ByteSize, BeforeValidator(_refuse_flag, json_schema_input_type=str | int), Field(ge=1, le=1 << 40)]
Duration = Annotated[int, BeforeValidator(duration_us, json_schema_input_type=_DurationText)]
PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]
Period = Annotated[
    int | str, BeforeValidator(_parse_period, json_schema_input_type=Literal["day", "week", "month"] | _DurationText)
]
SumPeriod = Annotated[
    int | str, BeforeValidator(_sum_period, json_schema_input_type=Literal["day", "week", "month", "cycle"] | _DurationText)
]
Micros = Annotated[int, BeforeValidator(decimal_micros, json_schema_input_type=_DecimalText | int)]
Share = Annotated[Micros, AfterValidator(_share)]
Tolerance = Annotated[Micros, AfterValidator(_check_not_negative)]
QuantityTolerance = Annotated[
    int,
    BeforeValidator(_parse_quantity_micros, json_schema_input_type=_DurationText | _DecimalText | int),
    AfterValidator(_check_not_negative),
]
Zone = Annotated[str, AfterValidator(check_zone)]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(strict=True)]
"""A whole number as TOML writes it: neither `true` nor a text."""
Flag = Annotated[bool, Field(strict=True)]
AsciiCharacter = Annotated[str, AfterValidator(_check_character)]
Marker = Annotated[str, AfterValidator(_check_marker)]
CountryCode = Annotated[str, AfterValidator(_check_country)]
DialPrefix = Annotated[str, AfterValidator(_check_prefix)]
CurrencyCode = Annotated[str, AfterValidator(_check_currency_code)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
SequencePattern = Annotated[str, AfterValidator(_check_sequence_pattern)]
RecordPattern = Annotated[str, AfterValidator(_check_record_pattern)]
DestinationPattern = Annotated[str, AfterValidator(_check_destination_pattern)]
