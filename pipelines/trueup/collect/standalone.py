"""Read files without a lake: a tariff book, or records to be priced. The first bad record is an error."""

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
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping import Mapping
from trueup.collect.map.times import to_utc, utc_times
from trueup.config import Project, SourceConfig
from trueup.errors import ConfigError, SourceError, list_names
from trueup.events.schema import COLLECTED
from trueup.rating.book import Book
from trueup.rating.book_validation import refusals
from trueup.rating.rate import CALL

TEXTS = ("service", "plan", "peer", "direction", "zone", "trunk", "account", "subscriber", "currency")
CALL_COLUMNS = (*TEXTS, "start", "quantity")
"""Columns that a file of records to be priced may have; `start` and `quantity` are required."""
_FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".zst", ".zip")


def format_of(path: Path) -> str:
    """Return the format that a file's name shows; raise `ConfigError` for an unknown ending."""
    named = path.with_suffix("") if path.suffix in _COMPRESSED else path
    if named.suffix not in _FORMATS:
        raise ConfigError("its name does not show the format", where=str(path), todo=f"let it end in {', '.join(_FORMATS)}")
    return _FORMATS[named.suffix]


def read_book(project: Project, path: Path) -> Book:
    """Return the tariff book of a file whose columns have the names of the stream `tariff`.

    Raises `SourceError` with the reason for the first row that cannot be accepted.
    """
    source = with_implied_settings(_build_source(path, "tariff"))
    with _open_unit(project, source, path) as (unit, reader):
        mapping = Mapping(source, project.config.project, system_clock())
        _check_columns(reader.columns(), mapping.source.columns, ("item", "valid_from"), unit.shown)
        rows = [pl.DataFrame(schema=COLLECTED["tariff"])]
        for batch in _read_batches(reader, mapping.requested_among(reader.columns())):
            mapped = mapping.apply(batch, source_id=unit.source_id, sha256=unit.sha256)
            _refuse_first_fault(mapped.rejected, unit.shown)
            rows.append(mapped.rows)
    tariff = pl.concat(rows)
    _refuse_first_fault(refusals(tariff.clear(), tariff), unit.shown)
    return Book.of(tariff)


def read_calls(project: Project, path: Path, *, timezone: str, usual: dict[str, str | None]) -> pl.DataFrame:
    """Return the records of a file as `CALL`s, numbered from 0 in file order.

    A text that is missing in the file gets its `usual` value; times without an offset are in `timezone`. Raises `SourceError`.
    """
    source = _build_source(path, "usage")
    with _open_unit(project, source, path) as (unit, reader):
        available = reader.columns()
        needed = ("start", "quantity", *(() if usual.get("service") else ("service",)))
        _check_columns(available, CALL_COLUMNS, needed, unit.shown)
        requested = [name for name in CALL_COLUMNS if name in available]
        frames = [pl.DataFrame(schema=CALL)]
        for batch in _read_batches(reader, requested):
            _refuse_first_fault(batch.rejected, unit.shown)
            frames.append(_build_calls(batch, timezone, usual, unit.shown))
    return pl.concat(frames)


def one_call(texts: dict[str, str | None], start: str, quantity: str, *, timezone: str) -> pl.DataFrame:
    """Return one record typed by a user, as a `CALL`; raise `ConfigError` for an invalid time or quantity."""
    moment = utc_times(pl.Series([start]), time_format="iso", zone=timezone, ambiguous="earliest").cast(pl.Int64)[0]
    if moment is None:
        raise ConfigError(f"invalid time: {start!r}", where="--start", todo="write it like 2024-03-31T12:00:00")
    number = fixed_point(pl.Series([quantity]), power=6)
    if number.no_number[0] or number.too_large[0] or number.value[0] < 0:
        raise ConfigError(f"invalid quantity: {quantity!r}", where="--quantity", todo="write a number that is not negative")
    facts = {"call": 0, "own_number": texts.get("subscriber"), "start_us": moment, "quantity_micros": int(number.value[0])}
    return pl.DataFrame([texts | facts | {"order": b""}], schema=CALL)


def _build_source(path: Path, stream: str) -> SourceConfig:
    settings = {"name": "file", "stream": stream, "path": str(path), "format": format_of(path), "identity": "content"}
    # The user names this very file, so links are followed.
    return SourceConfig.model_validate(settings | {"attributes": False, "follow_links": True})


@contextmanager
def _open_unit(project: Project, source: SourceConfig, path: Path) -> Iterator[tuple[Unit, Reader]]:
    if not path.exists():
        raise SourceError("there is no such file", where=str(path), todo="check its path")
    with open_unit(project, source, path.absolute()) as unit:
        unit.check_readable_to_end()
        yield unit, reader_of(unit)


def _read_batches(reader: Reader, requested: Sequence[str]) -> Iterator[Batch]:
    return (reader.read(piece, requested, attributes=False) for piece in reader.pieces())


def _check_columns(available: Sequence[str], known: Iterable[str], needed: Sequence[str], where: str) -> None:
    """Raise `SourceError` for a missing column, and for an unknown one, because a mistyped name must not become NULL."""
    for name in needed:
        if name not in available:
            raise SourceError(f"there is no column {name}; there are {list_names(available)}", where=where, todo="add it")
    for name in available:
        if name not in known:
            raise SourceError(f"the column {list_names([name])} is unknown", where=where, todo=f"name it one of {', '.join(known)}")


def _refuse_first_fault(rejected: pl.DataFrame, where: str) -> None:
    if rejected.height:
        row, reason, rule = rejected.sort("source_row").select("source_row", "reason", "rule").row(0)
        raise SourceError(f"record {row} cannot be used: {reason} ({rule})", where=where, todo="correct it")


def _build_calls(batch: Batch, timezone: str, usual: dict[str, str | None], where: str) -> pl.DataFrame:
    fields, provenance = batch.fields, batch.provenance
    texts = {
        n: fields[n].cast(pl.String).replace("", None).fill_null(pl.lit(usual.get(n), pl.String))
        if n in fields.columns else pl.repeat(usual.get(n), fields.height, dtype=pl.String, eager=True)
        for n in TEXTS
    }  # fmt: skip
    starts = fields["start"]
    start = (
        utc_times(starts, time_format="iso", zone=timezone, ambiguous="earliest") if starts.dtype == pl.String
        else starts.dt.convert_time_zone("UTC") if getattr(starts.dtype, "time_zone", None)
        else to_utc(starts.cast(pl.Datetime("us")), timezone, "earliest")
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
        _refuse_first_fault(provenance.filter(pl.Series(bad)).with_columns(reason=pl.lit("unusable"), rule=pl.lit(rule)), where)
    rows = provenance.select(call="source_row").with_columns(
        start_us=start.cast(pl.Datetime("us", "UTC")).cast(pl.Int64), quantity_micros=quantity, **texts,
        own_number=texts["subscriber"], cycle_day=pl.lit(None, pl.Int64),
        order=pl.col("call").cast(pl.String).str.zfill(20).cast(pl.Binary),
    )  # fmt: skip
    return rows.select(pl.col(n).cast(t) for n, t in CALL.items())
