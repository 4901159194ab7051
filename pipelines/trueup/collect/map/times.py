"""Conversion of time texts to UTC: ISO 8601, strptime formats and epochs, with and without an offset, with daylight saving."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

import polars as pl

from trueup.collect.map.decimals import fixed_point
from trueup.collect.map.time_formats import EPOCH_POWER
from trueup.errors import ConfigError
from trueup.events.schema import UTC_TIME
from trueup.zones import computed_zone

Ambiguous = Literal["earliest", "latest", "quarantine"]

_DAY = timedelta(days=1)
_NAIVE = pl.Datetime("us")
_YEAR_1_US, _YEAR_10000_US = -62_135_596_800_000_000, 253_402_300_800_000_000
_ISO_PLAIN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9]$"
_ISO = (
    r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<minute>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]+))?)?"
    r" ?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
_END_OF_DAY = r"(^|[^0-9:.,])24:00((?::00(?:[.,]0+)?)?)($|[^0-9:.,])"
_ENDS_IN_OFFSET = r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"
_OFFSET = r"^([+-])([01][0-9]|2[0-3]):?([0-5][0-9])?$"

# Regular expression of each directive, so that only the format is accepted: the parser would also accept signs, blanks and
# a 60th second. The second column is the directive in the parser's notation.
_DIRECTIVES: dict[str, tuple[str, str]] = {
    "Y": (r"[0-9]{4}", "%Y"), "y": (r"[0-9]{2}", "%y"), "m": (r"[0-9]{1,2}", "%m"), "d": (r"[0-9]{1,2}", "%d"),
    "e": (r" ?[0-9]{1,2}", "%e"), "j": (r"[0-9]{3}", "%j"), "H": (r"[0-9]{1,2}", "%H"), "I": (r"[0-9]{1,2}", "%I"),
    "M": (r"[0-9]{1,2}", "%M"), "S": (r"[0-5]?[0-9]", "%S"), "p": (r"[AaPp][Mm]", "%p"), "b": (r"[A-Za-z]{3}", "%b"),
    "B": (r"[A-Za-z]{3,9}", "%B"), "a": (r"[A-Za-z]{3}", "%a"), "A": (r"[A-Za-z]{6,9}", "%A"),
    "z": (r"(?:[+-][0-9]{2}:?[0-9]{2}|[Zz])", "%z"), "%": ("%", "%%"),
}  # fmt: skip
_RUN = re.compile(r"%(?:[YymdejHIMSf]%)+[YymdejHIMSf]")
"""Numeric directives with nothing between them: where a digit is missing, later digits would be read in its place."""
_FULL = {"m": "[0-9]{2}", "d": "[0-9]{2}", "H": "[0-9]{2}", "I": "[0-9]{2}", "M": "[0-9]{2}", "S": "[0-5][0-9]"}
"""Regular expressions of such directives that require all their digits."""
_SHORTHANDS = {"%T": "%H:%M:%S", "%R": "%H:%M", "%F": "%Y-%m-%d", "%D": "%m/%d/%y"}


def utc_times(text: pl.Series, *, time_format: str, zone: str, ambiguous: Ambiguous) -> pl.Series:
    """Convert texts to UTC times; those without an offset are in the time zone `zone`.

    NULL where a text is missing or invalid, and where daylight saving skips it or (`quarantine`) repeats it. Times
    finer than a microsecond are truncated. Raises `ConfigError` for a format with an unknown directive.
    """
    stripped = text.str.strip_chars(" \t")
    if time_format in EPOCH_POWER:
        return _parse_epoch(stripped, EPOCH_POWER[time_format])
    return (
        _parse_iso(stripped, zone, ambiguous) if time_format == "iso" else _parse_formatted(stripped, time_format, zone, ambiguous)
    )


def shape_of(time_format: str) -> str:
    """Return a regular expression of the texts that a strptime format accepts."""
    return _parse_format(time_format)[0]


def lacks_digits(text: pl.Series, time_format: str) -> pl.Series:
    """Return which texts lack digits in directives with nothing between them; later digits would be read in their place.

    A spreadsheet turns 012305 into 12305, which means 01:23:05 and not 12:30:05.

    >>> lacks_digits(pl.Series(["20240501 012305", "20240501 12305", "1.5. 9:05", None]), "%Y%m%d %H%M%S").to_list()
    [False, True, True, None]
    >>> lacks_digits(pl.Series(["1.5.2024 9:05"]), "%d.%m.%Y %H:%M").to_list()
    [False]
    """
    spelled_out = _expand_shorthands(time_format)
    if time_format in EPOCH_POWER or not _RUN.search(spelled_out):
        return pl.select(pl.when(pl.lit(text).is_not_null()).then(pl.lit(False))).to_series()
    return ~text.str.strip_chars(" \t").str.contains(_parse_format(time_format, full_runs=True)[0])


def utc_times_of_days(text: pl.Series, *, time_format: str, zone: str, ambiguous: Ambiguous) -> pl.Series:
    """Convert as `utc_times`, and accept 24:00 as the end of a day (ISO 8601): 0:00 of the next day."""
    value = utc_times(text, time_format=time_format, zone=zone, ambiguous=ambiguous)
    if value.null_count() == text.null_count():
        return value
    ends = (value.is_null() & text.str.contains(_END_OF_DAY)).fill_null(False).arg_true()
    if not len(ends):
        return value
    at_midnight = text.gather(ends).str.replace(_END_OF_DAY, "${1}00:00${2}${3}")
    local = utc_times(at_midnight, time_format=time_format, zone="UTC", ambiguous=ambiguous) + _DAY
    has_offset = at_midnight.str.contains(_ENDS_IN_OFFSET) & (time_format == "iso" or "%z" in time_format)
    return value.scatter(ends, local.zip_with(has_offset, to_utc(local.cast(_NAIVE), zone, ambiguous)))


def to_utc(local: pl.Series, zone: str, ambiguous: Ambiguous) -> pl.Series:
    """Convert naive times of a zone to UTC; NULL where the zone skips a time or, if so configured, repeats it."""
    if zone == "UTC":
        return local.cast(UTC_TIME)
    repeated: Literal["earliest", "latest", "null"] = "null" if ambiguous == "quarantine" else ambiguous
    return local.dt.replace_time_zone(computed_zone(zone), ambiguous=repeated, non_existent="null").dt.convert_time_zone("UTC")


def _parse_epoch(text: pl.Series, power: int) -> pl.Series:
    number = fixed_point(text, power=power)
    fits = (number.value >= _YEAR_1_US) & (number.value < _YEAR_10000_US)
    bad = number.no_number | number.too_large | ~fits
    return pl.Series(number.value).set(pl.Series(bad), None).set(text.is_null(), None).cast(UTC_TIME)


def _parse_iso(text: pl.Series, zone: str, ambiguous: Ambiguous) -> pl.Series:
    plain = text.str.contains(_ISO_PLAIN).fill_null(False)
    if plain.all():
        return to_utc(_parse_plain_iso(text), zone, ambiguous)
    value = to_utc(_parse_plain_iso(text.set(~plain, None)), zone, ambiguous)
    rows = (~plain & text.is_not_null()).arg_true()
    return value.scatter(rows, _parse_any_iso(text.gather(rows), zone, ambiguous)) if len(rows) else value


def _parse_plain_iso(text: pl.Series) -> pl.Series:
    spaced = text.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    unparsed = (spaced.is_null() & text.is_not_null()).arg_true()
    if len(unparsed):
        with_t = text.gather(unparsed).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
        spaced = spaced.scatter(unparsed, with_t)
    return spaced


def _parse_any_iso(text: pl.Series, zone: str, ambiguous: Ambiguous) -> pl.Series:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    clock = pl.concat_str("day", pl.lit(" "), pl.col("minute").fill_null("00:00"), pl.lit(":"), pl.col("second").fill_null("00"))
    fraction = pl.col("fraction").fill_null("0").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)
    local = parts.select(
        clock.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False) + pl.duration(microseconds=fraction)
    ).to_series()
    return _to_utc_by_offset(local, parts["offset"], zone, ambiguous)


def _to_utc_by_offset(local: pl.Series, offset: pl.Series, zone: str, ambiguous: Ambiguous) -> pl.Series:
    """Convert local times to UTC by their own offset, else by the zone."""
    has_offset = offset.is_not_null()
    value = to_utc(local.set(has_offset, None), zone, ambiguous)
    return value.zip_with(~has_offset, (local - _parse_offset(offset)).cast(UTC_TIME)) if has_offset.any() else value


def _parse_offset(text: pl.Series) -> pl.Series:
    parts = text.str.replace("^[Zz]$", "+00:00").str.extract_groups(_OFFSET).struct.unnest()
    minutes = parts.select(
        (pl.col("2").cast(pl.Int64) * 60 + pl.col("3").fill_null("0").cast(pl.Int64))
        * pl.when(pl.col("1") == "-").then(-1).otherwise(1)
    ).to_series()
    return (minutes * 60_000_000).cast(pl.Duration("us"))


def _parse_formatted(text: pl.Series, time_format: str, zone: str, ambiguous: Ambiguous) -> pl.Series:
    shape, parser, has_clock = _parse_format(time_format)
    parts = text.str.extract_groups(shape).struct.unnest()
    bare = pl.concat_str([pl.col(name) for name in parts.columns if name not in ("fraction", "offset")])
    parsed = bare.str.to_datetime(parser, time_unit="us", strict=False) if has_clock else bare.str.to_date(parser, strict=False)
    try:
        local = parts.select(parsed.cast(_NAIVE)).to_series()
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"the time format {time_format!r} yields no time: {str(error).splitlines()[0]}") from None
    if "fraction" in parts.columns:
        local = local + (parts["fraction"].str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)).cast(pl.Duration("us"))
    return (
        _to_utc_by_offset(local, parts["offset"], zone, ambiguous) if "offset" in parts.columns else to_utc(local, zone, ambiguous)
    )


def _expand_shorthands(time_format: str) -> str:
    for short, long in _SHORTHANDS.items():
        time_format = time_format.replace(short, long)
    return time_format


def _parse_format(time_format: str, *, full_runs: bool = False) -> tuple[str, str, bool]:
    """Return a strptime format as a regular expression and in the parser's notation, and whether it has a time of day.

    Fraction and offset are separate groups, because the parser accepts neither in the usual notation. With `full_runs`, numeric
    directives with nothing between them must have all their digits.
    """
    spelled_out = _expand_shorthands(time_format)
    in_runs = {at for run in _RUN.finditer(spelled_out) for at in range(*run.span())} if full_runs else set[int]()
    shape, parser = "", ""
    for part in re.finditer(r"([^%]+)|%(.?)", spelled_out):
        literal, directive = part.group(1) or "", part.group(2) or ""
        if literal:
            shape, parser = shape + re.escape(literal), parser + literal
        elif directive == "f":
            shape, parser = shape + ")(?P<fraction>[0-9]{1,9})(", parser
        elif directive == "z":
            shape, parser = shape + rf")(?P<offset>{_DIRECTIVES['z'][0]})(", parser
        elif directive in _DIRECTIVES:
            written = _FULL.get(directive) if part.start() in in_runs else None
            shape, parser = shape + (written or _DIRECTIVES[directive][0]), parser + _DIRECTIVES[directive][1]
        else:
            raise ConfigError(
                f"the time format {time_format!r} has the directive %{directive}, which is unknown",
                todo=f"use %{', %'.join(_DIRECTIVES)}, %f, %T, %R, %F or %D, or iso, epoch_s, epoch_ms, epoch_us",
            )
    return f"^({shape})$", parser, any(f"%{d}" in parser for d in "HIMS")
