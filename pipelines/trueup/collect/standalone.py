"""A file read as a whole, apart from any lake: a tariff book, or records to be priced. Its first bad record is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from trueup.clock import system_clock
from trueup.collect.decode.decoded import Batch, Reader
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import Unit, open_unit
from trueup.collect.map.decimals import fixed_point
from trueup.collect.map.mapping import Mapping
from trueup.collect.map.presets import expanded
from trueup.collect.map.times import in_utc, utc_times
from trueup.config import Project, SourceConfig
from trueup.errors import ConfigError, SourceError, listed
from trueup.events.schema import COLLECTED
from trueup.rating.book import Book
from trueup.rating.book_validation import refusals
from trueup.rating.rate import CALL

TEXTS = ("service", "plan", "peer", "direction", "zone", "trunk", "account", "subscriber", "currency")
CALL_COLUMNS = (*TEXTS, "start", "quantity")
"""What a file of records to be priced may have; `start` and `quantity` it must."""
_FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".zst")


def format_of(path: Path) -> str:
    """The format a file's name tells; raises `ConfigError` where it tells none."""
    named = path.with_suffix("") if path.suffix in _COMPRESSED else path
    if named.suffix not in _FORMATS:
        raise ConfigError("its name does not tell the format", where=str(path), todo=f"let it end in {', '.join(_FORMATS)}")
    return _FORMATS[named.suffix]


def read_book(project: Project, path: Path) -> Book:
    """The tariff book of a file whose columns are named as those of the stream `tariff`.

    Raises `SourceError` for the first row that could not be taken in, and why.
    """
    source = expanded(_source(path, "tariff"))
    with _unit_of(project, source, path) as (unit, reader):
        mapping = Mapping(source, project.config.project, system_clock())
        _check(reader.columns(), mapping.source.columns, ("item", "valid_from"), unit.shown)
        rows = [pl.DataFrame(schema=COLLECTED["tariff"])]
        for batch in _batches(reader, mapping.wanted_among(reader.columns())):
            mapped = mapping.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
            _first_fault(mapped.rejected, unit.shown)
            rows.append(mapped.rows)
    told = pl.concat(rows)
    _first_fault(refusals(told.clear(), told), unit.shown)
    return Book.of(told)


def read_calls(project: Project, path: Path, *, timezone: str, usual: dict[str, str | None]) -> pl.DataFrame:
    """The records of a file as `CALL`s, numbered from 0 as they lie in it; of two that begin at once the first is first.

    A text the file leaves out is the `usual` one; times without an offset are of `timezone`. Raises `SourceError`.
    """
    source = _source(path, "usage")
    with _unit_of(project, source, path) as (unit, reader):
        there = reader.columns()
        needed = ("start", "quantity", *(() if usual.get("service") else ("service",)))
        _check(there, CALL_COLUMNS, needed, unit.shown)
        wanted = [name for name in CALL_COLUMNS if name in there]
        found = [pl.DataFrame(schema=CALL)]
        for batch in _batches(reader, wanted):
            _first_fault(batch.rejected, unit.shown)
            found.append(_calls(batch, timezone, usual, unit.shown))
    return pl.concat(found)


def one_call(texts: dict[str, str | None], start: str, quantity: str, *, timezone: str) -> pl.DataFrame:
    """One record as a person types it, as a `CALL`; raises `ConfigError` for a time or quantity that is none."""
    moment = utc_times(pl.Series([start]), time_format="iso", zone=timezone, ambiguous="earliest").cast(pl.Int64)[0]
    if moment is None:
        raise ConfigError(f"{start!r} is no time", where="--start", todo="write it like 2024-03-31T12:00:00")
    number = fixed_point(pl.Series([quantity]), power=6)
    if number.no_number[0] or number.too_large[0] or number.value[0] < 0:
        raise ConfigError(f"{quantity!r} is no quantity", where="--quantity", todo="write a number that is not negative")
    return pl.DataFrame(
        [{**texts, "call": 0, "start_us": moment, "quantity_micros": int(number.value[0]), "order": b""}], schema=CALL
    )


def _source(path: Path, stream: str) -> SourceConfig:
    told = {"name": "file", "stream": stream, "path": str(path), "format": format_of(path), "identity": "content"}
    # A person names this very file, links and all.
    return SourceConfig.model_validate(told | {"attributes": False, "follow_links": True})


@contextmanager
def _unit_of(project: Project, source: SourceConfig, path: Path) -> Iterator[tuple[Unit, Reader]]:
    if not path.exists():
        raise SourceError("there is no such file", where=str(path), todo="check its path")
    with open_unit(project, source, path.absolute()) as unit:
        unit.check_whole()
        yield unit, reader_of(unit)


def _batches(reader: Reader, wanted: Sequence[str]) -> Iterator[Batch]:
    return (reader.read(piece, wanted, attributes=False) for piece in reader.pieces())


def _check(there: Sequence[str], known: Iterable[str], needed: Sequence[str], where: str) -> None:
    """Raises `SourceError` for a column that is missing, and for one that means nothing: a mistyped name must not be a NULL."""
    for name in needed:
        if name not in there:
            raise SourceError(f"there is no column {name}; there are {listed(there)}", where=where, todo="add it")
    for name in there:
        if name not in known:
            raise SourceError(
                f"the column {listed([name])} means nothing here", where=where, todo=f"name it one of {', '.join(known)}"
            )


def _first_fault(rejected: pl.DataFrame, where: str) -> None:
    if rejected.height:
        row, reason, rule = rejected.sort("source_row").select("source_row", "reason", "rule").row(0)
        raise SourceError(f"record {row} cannot be used: {reason} ({rule})", where=where, todo="correct it")


def _calls(batch: Batch, timezone: str, usual: dict[str, str | None], where: str) -> pl.DataFrame:
    fields, places = batch.fields, batch.places
    texts = {
        n: fields[n].cast(pl.String).replace("", None).fill_null(pl.lit(usual.get(n), pl.String))
        if n in fields.columns else pl.repeat(usual.get(n), fields.height, dtype=pl.String, eager=True)
        for n in TEXTS
    }  # fmt: skip
    told = fields["start"]
    start = (
        utc_times(told, time_format="iso", zone=timezone, ambiguous="earliest") if told.dtype == pl.String
        else told.dt.convert_time_zone("UTC") if getattr(told.dtype, "time_zone", None)
        else in_utc(told.cast(pl.Datetime("us")), timezone, "earliest")
    )  # fmt: skip
    number = fixed_point(fields["quantity"].cast(pl.String), power=6)
    unread = number.no_number | number.too_large | (number.value < 0)
    quantity = pl.Series(number.value).set(fields["quantity"].is_null(), None)
    faults = {
        "start: is a time": start.is_null().to_numpy(),
        "quantity: is a number that is not negative": unread,
        "service: is there": texts["service"].is_null().to_numpy(),
    }
    for rule, bad in faults.items():
        _first_fault(places.filter(pl.Series(bad)).with_columns(reason=pl.lit("unusable"), rule=pl.lit(rule)), where)
    rows = places.select(call="source_row").with_columns(
        start_us=start.cast(pl.Datetime("us", "UTC")).cast(pl.Int64), quantity_micros=quantity, **texts,
        order=pl.col("call").cast(pl.String).str.zfill(20).cast(pl.Binary),
    )  # fmt: skip
    return rows.select(pl.col(n).cast(t) for n, t in CALL.items())
