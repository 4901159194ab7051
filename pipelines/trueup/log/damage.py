"""Which errors of DuckDB come from damaged files of the lake: the one place that translates them.

DuckDB tells of a damaged Parquet file in some twenty ways, half of which do not name the file. Where one is named below the lake's
data, that is the one. Where none is, and the error is not one that a query can cause, the files themselves are looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import duckdb

from trueup.config import Project
from trueup.errors import DamagedError, LogError
from trueup.log.catalog import SqliteCatalog, attach, catalog_of
from trueup.log.catalog_file import damage_of
from trueup.log.connection import connect
from trueup.log.place import data_path

TODO = "restore it from a backup; `trueup verify` lists all"
MOST_BYTES = 4 << 30
"""How many bytes of data files are read to find the damaged one; the sizes of all are compared before."""
_BY_FILES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.InternalException, duckdb.FatalException,
             duckdb.SerializationException, duckdb.ConversionException, UnicodeDecodeError)  # fmt: skip
"""Kinds of errors that a damaged file can cause; a query can cause some of them as well."""
_BY_QUERIES = re.compile(r"(Conversion|Invalid Input) Error: (?!.*([Pp]arquet|Failed to read file|Error while reading file))", re.S)
"""What a query causes: such an error that says nothing about a file."""

_MOMENTARY = ("is locked", "SQLITE_BUSY", "interrupted", "Conflict", "conflict")
"""What passes by itself, or was asked for."""


def failures() -> tuple[type[Exception], ...]:
    """The errors that a damaged file may cause; a library that is not imported cannot have raised one of its own."""
    kinds: list[type[Exception]] = [duckdb.Error, UnicodeDecodeError]
    if "polars" in sys.modules:
        kinds.append(sys.modules["polars"].exceptions.PolarsError)
    if "pyarrow" in sys.modules:
        kinds.append(sys.modules["pyarrow"].ArrowInvalid)
    return tuple(kinds)


@contextmanager
def damage_named(project: Project) -> Iterator[None]:
    """Turns errors within it that a damaged file of the lake has caused into a `LogError` that names the file."""
    try:
        yield
    except failures() as error:
        if (found := damage_behind(project, error)) is not None:
            # DuckDB's own text may quote what it read.
            raise found from None
        raise


def damage_behind(project: Project, error: Exception) -> LogError | None:
    """The damaged, missing or unreadable file that an error comes from, as an error that names it; None where it is none's."""
    text, data = str(error), data_path(project)
    if (found := re.search(re.escape(data) + r"[^\"']*?\.parquet", text)) is not None:
        return _named(found[0], text)
    if not _may_be_damage(error, text):
        return None
    catalog = catalog_of(project)
    if isinstance(catalog, SqliteCatalog) and (damaged := damage_of(catalog.path)) is not None:
        return damaged
    with suppress(duckdb.Error, LogError):
        return next(damaged_files(project), None)
    return None


def damaged_files(project: Project) -> Iterator[LogError]:
    """Each data file that the newest snapshot reads and that is missing, of another size than written, or not readable."""
    with connect() as connection:
        attach(connection, catalog_of(project), data_path(project), read_only=True)
        query = files(__package__).joinpath("data_files.sql").read_text("utf-8")
        rows = connection.execute(query).fetchall()
    data, read_bytes, whole = data_path(project), 0, []
    for path, is_relative, size_bytes in rows:
        file = f"{data}{path}" if is_relative else path
        if (found := _changed(file, size_bytes)) is not None:
            yield found
        else:
            whole.append((file, size_bytes))
    for file, size_bytes in whole:
        read_bytes += size_bytes
        if read_bytes > MOST_BYTES:
            return
        if (found := _unreadable(file)) is not None:
            yield found


def _may_be_damage(error: Exception, text: str) -> bool:
    if any(words in text for words in _MOMENTARY):
        return False
    # The bare class is what the readers of Thrift and of pages raise; no query does.
    return (
        type(error) is duckdb.Error
        or (not isinstance(error, duckdb.Error))
        or (isinstance(error, _BY_FILES) and not _BY_QUERIES.match(text))
    )


def _named(file: str, text: str) -> LogError:
    if "No such file" in text:
        return _damaged(file, "is missing")
    if "Permission denied" in text:
        return LogError("a data file cannot be read: permission denied", where=file, todo="ask its owner for the right to read it")
    return _damaged(file, "is damaged")


def _damaged(file: str, state: str) -> DamagedError:
    return DamagedError(f"the data file {file} {state}", todo=TODO)


def _changed(file: str, size_bytes: int) -> LogError | None:
    if "://" in file:
        return None
    try:
        found = Path(file).stat().st_size
    except FileNotFoundError:
        return _damaged(file, "is missing")
    except OSError:
        return None
    return None if found == size_bytes else _damaged(file, f"is damaged: it has {found} bytes, {size_bytes} were written")


def _unreadable(file: str) -> LogError | None:
    """Reads all pages of a file, and looks whether its texts are UTF-8."""
    with connect() as connection:
        try:
            for batch in connection.execute("SELECT * FROM read_parquet($file)", {"file": file}).to_arrow_reader(100_000):
                batch.validate(full=True)
        except failures() as error:
            return _named(file, str(error))
    return None
