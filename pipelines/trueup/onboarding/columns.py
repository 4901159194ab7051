"""Columns of a sample: their values, and the kinds that each may be: time, number, duration, party number or key."""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, BinaryIO

import phonenumbers
import polars as pl

from trueup.collect.decode.decoded import Batch, Reader
from trueup.collect.decode.json.readers import DocumentReader, NdjsonReader
from trueup.collect.decode.readers import reader_of
from trueup.collect.decode.text.radius_detail import DetailReader
from trueup.collect.decode.xml.reader import XmlReader
from trueup.collect.discover.units import Unit, sample_unit
from trueup.collect.map.notation import Clock, plain_numbers, plain_seconds
from trueup.collect.map.texts import clean_texts
from trueup.collect.map.time_formats import EPOCH_POWER
from trueup.collect.map.times import shape_of, utc_times_of_days
from trueup.config import NotationConfig, SourceConfig
from trueup.errors import SourceError
from trueup.onboarding.evidence import Fit
from trueup.onboarding.layouts.layout import Layout
from trueup.onboarding.sample import MOST_ROWS, Sample
from trueup.party_numbers import international_digits
from trueup.regular import open_regular

_MOST_COLUMNS = 200
"""Maximum number of columns that are examined: a record of usage or charges has fewer."""
_SOME = 1_000
"""Number of values of a column from which its kind is found."""
_FEW = 20
_EARLIEST, _LATEST = datetime(1995, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - bounds of plausible times in UTC
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%y", "%d/%m/%y",
          "%m/%d/%y", "%d-%b-%Y", "%d %b %Y", "%d-%b-%y", "%b %d %Y", "%d%m%Y", "%y%m%d")  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f", "%H:%M:%S %z", "%H%M%S", "%H.%M.%S")
TIME_FORMATS = (
    "iso", *EPOCH_POWER, *(f"{day}{between}{clock}" for day in _DATES for clock in _CLOCKS for between in (" ", "T", "")),
    "%a %b %d %H:%M:%S %Y", "%Y-%m-%d %I:%M:%S %p", *_DATES,
)  # fmt: skip
"""Formats of times that are tried, the more usual formats first."""
_OFFSET = r"(?:[Zz]|[0-9][+-][0-9]{2}:?[0-9]{2})$"
_NOTATIONS: tuple[dict[str, str], ...] = (
    {}, {"grouping": ","}, {"decimal": ","}, {"decimal": ",", "grouping": "."}, {"decimal": ",", "grouping": " "},
    {"grouping": " "}, {"grouping": "'"}, {"decimal": ",", "grouping": "'"},
)  # fmt: skip
_NEGATIVE: tuple[dict[str, str], ...] = ({}, {"negative": "trailing"}, {"negative": "parentheses"})
_PLAIN_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_PARTY = r"^(?i:(?:tel|sips?):)?(?:\+|00)?[0-9][0-9 \-./()\x{a0}]{2,22}(?:@.*)?$"
_SIGNS = r"^[-+(]?\s?([^\d\s.,()+%'-]{1,4})?\s?[-+]?[0-9.,' \x{a0}]*[0-9]\s?%?\s?([^\d\s.,()+%'-]{1,4})?\s?[-)]?$"


@dataclass(frozen=True)
class Column:
    """A column of a sample: its values in the form that the mapping gives texts; `is_typed` where the file types them as times."""

    name: str
    values: pl.Series
    is_typed: bool = False

    @cached_property
    def texts(self) -> pl.Series:
        """The values that are present."""
        return self.values.cast(pl.String).drop_nulls()

    @cached_property
    def _some(self) -> pl.Series:
        return self.texts.head(_SOME)

    @cached_property
    def distinct(self) -> Fit:
        """Number of distinct values."""
        return Fit(self.texts.n_unique(), len(self.texts))

    @cached_property
    def is_unique(self) -> bool:
        """Whether each record has a value of its own; a few values may be repeated, as after a second delivery."""
        return len(self.texts) == len(self.values) > 0 and self.distinct.share > 0.98

    @cached_property
    def is_counter(self) -> bool:
        """Whether the values are small numbers in sequence, such as line numbers."""
        if not self._some.str.contains(r"^[0-9]{1,9}$").all():
            return False
        return int(self._some.cast(pl.Int64).max() or 0) <= 3 * len(self._some)  # type: ignore[arg-type]

    @cached_property
    def times(self) -> tuple[tuple[str, Fit], ...]:
        """Formats that fit most values, the best first; formats that read the same times count once."""
        if self.is_typed:
            return (("iso", Fit(len(self.texts), len(self.texts))),)
        if not len(self._some) or not self._some.str.contains(r"[0-9]").mean() or self._some.str.len_chars().max() > 40:  # type: ignore[operator]
            return ()
        found: list[tuple[str, Fit, pl.Series]] = []
        first = self._some.head(_FEW).to_list()
        for time_format in TIME_FORMATS:
            if sum(map(bool, map(_build_shape_pattern(time_format).match, first))) * 2 < len(first):
                continue
            fit, read = _time_fit(self._some, time_format)
            if fit.share >= 0.5 and not any(read.equals(other) for _, _, other in found):
                found.append((time_format, fit, read))
            if fit.is_full and len(found) == 1 and time_format == "iso":
                break
        # Where day and month can be read in two orders, prefer the order by which the sample covers less time.
        found.sort(key=lambda entry: (-entry[1].share, _measure_span_us(entry[2])))
        return tuple((name, _time_fit(self.texts, name)[0]) for name, _, _ in found[:2])

    @cached_property
    def has_offset(self) -> bool:
        """Whether each time has an offset, or counts from 1970 in UTC."""
        if self.values.dtype == pl.Datetime and getattr(self.values.dtype, "time_zone", None):
            return True
        return bool(self.times) and (self.times[0][0] in EPOCH_POWER or bool(self._some.str.contains(_OFFSET).all()))

    @cached_property
    def dates(self) -> tuple[tuple[str, Fit], ...]:
        """Formats that fit the values as days without a time, the best first, and another format that fits as many values."""
        first = next(iter(self._some.to_list()), "")
        fits = [(day, *_time_fit(self._some, day)) for day in ("%Y-%m-%d", *_DATES) if _build_shape_pattern(day).match(first)]
        fits = sorted(
            (entry for entry in fits if entry[1].share >= 0.9), key=lambda entry: (-entry[1].share, _measure_span_us(entry[2]))
        )
        return tuple((day, fit) for day, fit, read in fits[:2] if fit.count == fits[0][1].count)

    @cached_property
    def clocks(self) -> tuple[tuple[Clock, Fit], ...]:
        """Notations of durations that fit most values, the best first."""
        kinds: tuple[Clock, ...] = ("h:m:s", "m:s", "h:m", "units")
        with_marks = self.texts.filter(self.texts.str.contains(r"[:a-zA-Z]"))
        if not len(with_marks):
            return ()
        fits = [(kind, Fit(int((plain_seconds(self.texts, kind) != "?").sum()), len(self.texts))) for kind in kinds]
        return tuple(sorted((entry for entry in fits if entry[1].share >= 0.5), key=lambda entry: -entry[1].share))

    def fit_of(self, notation: NotationConfig) -> Fit:
        """Return how many values are numbers in a notation."""
        plain = self.texts if notation == NotationConfig() else plain_numbers(self.texts, notation)
        return Fit(int(plain.str.contains(_PLAIN_NUMBER).sum()), len(self.texts))

    @cached_property
    def notations(self) -> tuple[tuple[NotationConfig, Fit], ...]:
        """Notations that fit most values, the best first; among equally good ones, the simplest first."""
        if not len(self._some) or self._some.str.contains(r"[0-9]").mean() < 0.5:  # type: ignore[operator]
            return ()
        currency, percent = self._signs
        shared: dict[str, Any] = ({"currency": currency} if currency else {}) | ({"percent": True} if percent else {})
        tried = [NotationConfig.model_validate(marks | minus | shared) for minus in _NEGATIVE for marks in _NOTATIONS]
        fits = [(notation, self.fit_of(notation)) for notation in tried]
        return tuple(sorted((entry for entry in fits if entry[1].share >= 0.5), key=lambda entry: -entry[1].share))

    @property
    def is_number(self) -> bool:
        """Whether most values are numbers in some notation."""
        return bool(self.notations) and self.notations[0][1].share >= 0.8

    @cached_property
    def _signs(self) -> tuple[list[str], bool]:
        """Return signs and codes of currencies before or after the numbers, and whether numbers are percentages."""
        groups = self._some.str.extract_groups(_SIGNS).struct.unnest()
        found = {sign for column in groups.columns for sign in groups[column].drop_nulls().unique().to_list()}
        signs = {sign for sign in found if sign.strip() and sign.isprintable()}
        return sorted(signs)[:5], bool(self._some.str.contains(r"%\)?$").all())

    @cached_property
    def party(self) -> Fit:
        """Number of values that look like telephone numbers: digits, with the marks of written numbers, of a usual length."""
        digits = pl.select(international_digits(pl.lit(self._some))).to_series()
        fits = self._some.str.contains(_PARTY) & digits.str.contains(r"^[0-9]{3,15}$")
        return Fit(int(fits.sum()), len(self._some))

    @cached_property
    def is_written_variously(self) -> bool:
        """Whether some numbers of parties are not plain digits, such as `+49…`, `0049…`, `030 12…`, `sip:…`."""
        return self.party.share > 0.5 and bool((~self._some.str.contains(r"^[1-9][0-9]*$")).any())

    @cached_property
    def calling_codes(self) -> dict[int, int]:
        """Number of values that are valid international numbers, by calling code."""
        codes: dict[int, int] = {}
        digits = pl.select(international_digits(pl.lit(self._some))).to_series()
        for text in digits.filter(digits.str.contains(r"^[1-9][0-9]{6,14}$")).head(300).to_list():
            try:
                number = phonenumbers.parse(f"+{text}")
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_possible_number(number) and number.country_code:
                codes[number.country_code] = codes.get(number.country_code, 0) + 1
        return dict(sorted(codes.items(), key=lambda entry: -entry[1]))


def _measure_span_us(times: pl.Series) -> int:
    first, last = times.min(), times.max()
    return int((last - first) / timedelta(microseconds=1)) if isinstance(first, datetime) and isinstance(last, datetime) else 0


@cache
def _build_shape_pattern(time_format: str) -> re.Pattern[str]:
    """Return a pattern of the texts that may have a time format: matching texts costs less than parsing them."""
    named = {"iso": r"\d{4}-\d{2}-\d{2}"} | dict.fromkeys(EPOCH_POWER, r"\d{8,17}(\.\d+)?$")
    return re.compile(named.get(time_format) or shape_of(time_format))


def _time_fit(texts: pl.Series, time_format: str) -> tuple[Fit, pl.Series]:
    read = utc_times_of_days(texts, time_format=time_format, zone="UTC", ambiguous="earliest").dt.replace_time_zone(None)
    return Fit(int(read.is_between(_EARLIEST, _LATEST - timedelta(microseconds=1)).sum()), len(texts)), read


@dataclass(frozen=True)
class Records:
    """The records of a sample: its columns, and a reader of the same bytes for the mapping that is proposed."""

    columns: dict[str, Column]
    reader: Reader
    unit: Unit
    available: tuple[str, ...] = ()
    """The names of all columns, also of columns that are not examined."""

    def batches(self, names: list[str]) -> Iterator[Batch]:
        """Yield the first records of the sample, at most `MOST_ROWS`, with these columns."""
        left = MOST_ROWS
        for piece in self.reader.pieces():
            if left <= 0:
                return
            yield self.reader.read(piece.only(slice(0, left)), names, attributes=False)
            left -= len(piece)

    @property
    def height(self) -> int:
        """The number of records that could be read."""
        return len(next(iter(self.columns.values())).values) if self.columns else 0


def records_of(sample: Sample, layout: Layout) -> Records:
    """Return the records of a sample; raise `SourceError` where they cannot be read."""
    settings = layout.settings | {"name": "sample", "stream": "usage", "path": "sample", "identity": "content"}
    return records_by(SourceConfig.model_validate(settings), sample, layout)


def records_by(source: SourceConfig, sample: Sample, layout: Layout, *, first: Collection[str] = ()) -> Records:
    """Return the records of a sample as a source reads them; the columns `first` come before others, which may be cut off."""
    is_file = sample.kind != "text"
    handle = _map_file(sample) if is_file else io.BytesIO(layout.body)
    unit = sample_unit(source, sample.path, handle, sample.size_bytes if is_file else len(layout.body))
    reader = reader_of(unit)
    unusable = reader.repeated if isinstance(reader, DetailReader | XmlReader) else frozenset[str]()
    available = [name for name in _list_available(reader) if name and name not in unusable]
    names = [*(name for name in first if name in available), *(name for name in available if name not in first)][:_MOST_COLUMNS]
    if not names:
        raise SourceError("no record of it can be read", where=sample.shown, todo="name a sample that has records")
    found = Records({}, reader, unit, tuple(available))
    frames = [clean_texts(batch.fields) for batch in found.batches(names)]
    fields = pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame({name: [] for name in names})
    columns = {
        name: Column(name, _as_text(fields[name]), is_typed=fields[name].dtype in (pl.Datetime, pl.Date)) for name in fields.columns
    }
    return Records(columns, reader, unit, tuple(available))


def _map_file(sample: Sample) -> BinaryIO:
    """Return a memory-mapped file, which the system reads as needed; it is closed with the last reference to the sample."""
    with open_regular(sample.path) as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[return-value]


def _list_available(reader: Reader) -> list[str]:
    """Return the columns of a sample; for JSON, the paths of all members that hold no object."""
    if not isinstance(reader, NdjsonReader | DocumentReader):
        return list(reader.columns())
    names = reader.paths()
    outer = {name[:at] for name in names for at, sign in enumerate(name) if sign == "."}
    return [name for name in names if name not in outer]


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        return values.set((values == "").fill_null(False), None)
    return values if values.dtype in (pl.Datetime, pl.Date) else values.cast(pl.String)
