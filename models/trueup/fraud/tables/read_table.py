"""Read a table from Parquet or CSV, and check its declared columns; a fault is an error that names the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, TypeVar

import polars as pl

from trueup.errors import list_names
from trueup.fraud.tables.declaration import TableColumns, TableError
from trueup.regular import open_regular
from trueup.units import MICROS

_AS_TEXT = ("id", "time", "label", "party", "known", "money", "category")
_DECIMAL = pl.Decimal(38, 6)
_LARGEST = Decimal(2**63 - 1) / MICROS
"""The largest amount whose millionths fit an int64."""
_LABELS = {"0": False, "1": True}
_T = TypeVar("_T")


def read_table(path: Path, columns: TableColumns) -> pl.DataFrame:
    """Return the rows of a .parquet or .csv file; raise `TableError` for a file or a declared column that cannot be read.

    Declared columns of a CSV file stay text, so that an id keeps its leading zeros.
    """
    rows = _read_file(path, lambda file: pl.read_parquet(file), lambda file: _read_csv(file, columns))
    for option, names in columns.named.items():
        for name in names:
            if name not in rows.columns:
                raise TableError(
                    f"there is no column {name!r}", where=f"{path}, --{option}", todo=f"its columns are {list_names(rows.columns)}"
                )
    if not rows.height:
        raise TableError("the table has no rows", where=str(path))
    return rows


def columns_in(path: Path) -> list[str]:
    """Return the names of the columns of a file; raise `TableError` for a file that cannot be read."""
    return _read_file(path, lambda file: list(pl.read_parquet_schema(file)), lambda file: pl.read_csv(file, n_rows=0).columns)


def _read_file(path: Path, parquet: Callable[[BinaryIO], _T], csv: Callable[[BinaryIO], _T]) -> _T:
    readers = {".parquet": parquet, ".csv": csv}
    if path.suffix not in readers:
        raise TableError("the file is neither .parquet nor .csv", where=str(path), todo="name a file with one of these endings")
    try:
        with open_regular(path) as file:
            return readers[path.suffix](file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"the table cannot be read: {(str(error).splitlines() or ['?'])[0]}", where=str(path)) from None


def _read_csv(file: BinaryIO, columns: TableColumns) -> pl.DataFrame:
    declared = {name for option in _AS_TEXT for name in columns.named.get(option, ())}
    header = pl.read_csv(file, n_rows=0).columns
    file.seek(0)
    return pl.read_csv(file, schema_overrides={n: pl.String for n in header if n in declared}, infer_schema_length=None)


def facts_of(rows: pl.DataFrame, columns: TableColumns, *, label_delay_us: int) -> pl.DataFrame:
    """Return the facts and labels of each row, in the columns of `Table.rows`.

    A row without a label counts as honest after the label delay, but with less weight. Raises `TableError` for missing ids or
    times, and for two rows of one id and time. It also raises `TableError` for labels other than 0 and 1, and for labels known
    before their row.
    """
    ids, at_us = _read_texts(rows, columns.id, "--id"), _read_times_us(rows[columns.time], "--time")
    party = ids if columns.party is None else _read_texts(rows, columns.party, "--party")
    facts = pl.DataFrame({"id": ids, "at_us": at_us, "party": party})
    repeated = facts.filter(pl.struct("id", "at_us").is_duplicated())
    if repeated.height:
        raise TableError(
            f"{repeated.height} rows share their id and time with another, such as {repeated['id'][0]!r}", where=columns.id,
            todo="remove repeated rows, or name an id that is unique at one time",
        )  # fmt: skip
    label = _read_labels(rows, columns.label)
    delayed = facts["at_us"] + label_delay_us
    known = delayed if columns.known is None else _read_times_us(rows[columns.known], "--known", required=False)
    facts = facts.with_columns(label=label, known=known, honest_us=delayed)
    early = facts.filter(pl.col("known") < pl.col("at_us"))
    if early.height:
        raise TableError(
            f"{early.height} labels are known before the time of their row, such as that of {early['id'][0]!r}",
            where=f"--known {columns.known}", todo="correct these times, or leave the option out",
        )  # fmt: skip
    return facts.select(
        "party", "at_us", "honest_us", event_id=pl.col("id") + " " + pl.col("at_us").cast(pl.String),
        day=pl.from_epoch("at_us", "us").dt.date(), fraud=pl.col("label").fill_null(value=False),
        decided_us=pl.when(pl.col("label").is_not_null()).then(pl.coalesce("known", "honest_us")),
        loss_micros=_read_micros(rows, columns.money),
    )  # fmt: skip


def _read_texts(rows: pl.DataFrame, name: str, option: str) -> pl.Series:
    if rows[name].dtype.is_nested() or rows[name].dtype.is_float():
        raise TableError(f"the column {name!r} holds {rows[name].dtype}", where=option, todo="write it as text or as whole numbers")
    texts = rows[name].cast(pl.String)
    _refuse_missing(texts, name, option)
    return texts


def _refuse_missing(values: pl.Series, name: str, option: str) -> None:
    missing = values.is_null().arg_true()
    if missing.len():
        raise TableError(
            f"{missing.len()} rows have no {name!r}, the first is row {missing[0] + 1}",
            where=option,
            todo="complete or remove them",
        )


def _read_times_us(values: pl.Series, option: str, *, required: bool = True) -> pl.Series:
    """Return times in microseconds since 1970; without a zone they are UTC."""
    if required:
        _refuse_missing(values, values.name, option)
    if values.dtype == pl.String:
        return pl.Series(values.name, [_parse_time(t, n, values.name, option) for n, t in enumerate(values)], pl.Int64)
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None))).dt.epoch("us")
    raise TableError(
        f"the column {values.name!r} holds {values.dtype} and no times",
        where=option,
        todo="write times, such as 2024-03-31T12:00:00",
    )


def _parse_time(text: str | None, number: int, name: str, option: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise TableError(
            f"row {number + 1} has {text!r} as {name!r}, which is not a time",
            where=option,
            todo="write it like 2024-03-31T12:00:00",
        ) from None
    since = moment - datetime.combine(date(1970, 1, 1), datetime.min.time(), UTC)
    return (since.days * 86_400 + since.seconds) * MICROS + since.microseconds


def _read_labels(rows: pl.DataFrame, name: str | None) -> pl.Series:
    if name is None:
        return pl.Series([None] * rows.height, dtype=pl.Boolean)
    values = rows[name]
    if values.dtype == pl.Boolean:
        return values
    texts = values.cast(pl.Int64, strict=False).cast(pl.String) if _is_whole(values) else values.cast(pl.String, strict=False)
    wrong = (texts.is_not_null() & ~texts.is_in(list(_LABELS))) | (texts.is_null() & values.is_not_null())
    at = wrong.arg_true()
    if at.len():
        raise TableError(
            f"{at.len()} labels are neither 0 nor 1; row {at[0] + 1} has {values[at[0]]!r}", where=f"--label {name}",
            todo="write 1 for fraud, 0 for honest, and nothing where it is not known",
        )  # fmt: skip
    return texts.replace_strict(_LABELS, default=None, return_dtype=pl.Boolean)


def _is_whole(values: pl.Series) -> bool:
    return values.dtype.is_float() and bool((values.drop_nulls() == values.drop_nulls().round()).all())


def _read_micros(rows: pl.DataFrame, name: str | None) -> pl.Series:
    """Return money in millionths, exactly as in its decimal text."""
    if name is None:
        return pl.Series([None] * rows.height, dtype=pl.Int64)
    values = rows[name]
    decimals = values.cast(pl.String).cast(_DECIMAL, strict=False)
    # Multiplied before it is compared, a greater amount would not fit the type.
    most = pl.Series([_LARGEST], dtype=_DECIMAL)
    wrong = ((decimals.is_null() & values.is_not_null()) | (decimals < 0) | (decimals > most)).arg_true()
    if wrong.len():
        raise TableError(
            f"{wrong.len()} values of {name!r} are not amounts of money; row {wrong[0] + 1} has {values[wrong[0]]!r}",
            where="--money", todo=f"write numbers from 0 to {_LARGEST}",
        )  # fmt: skip
    return (decimals * MICROS).cast(pl.Int64)
