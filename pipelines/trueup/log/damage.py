"""Damage of data files: the one place that attributes errors of DuckDB to damaged files of the lake.

DuckDB has about twenty error messages for a damaged Parquet file, half of which do not name the file. A file named below the
lake's data folder is the damaged one. Without a name, and if a query cannot cause the error, the files themselves are checked.
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
from trueup.log.catalog.catalog_file import catalog_damage
from trueup.log.catalog.catalogs import SqliteCatalog, attach, catalog_of
from trueup.log.catalog.connection import connect
from trueup.log.place import data_path

TODO = "restore it from a backup; `trueup verify` lists all"
MOST_BYTES = 4 << 30
"""Maximum number of bytes of data files that are read to find the damaged one; first the sizes of all are compared."""
_BY_FILES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.InternalException, duckdb.FatalException,
             duckdb.SerializationException, duckdb.ConversionException, UnicodeDecodeError)  # fmt: skip
"""Kinds of errors that a damaged file can cause; a query can cause some of them as well."""
_BY_QUERIES = re.compile(r"(Conversion|Invalid Input) Error: (?!.*([Pp]arquet|Failed to read file|Error while reading file))", re.S)
"""Messages of errors that a query causes: of these kinds, and without mention of a file."""

_MOMENTARY = ("is locked", "SQLITE_BUSY", "interrupted", "Conflict", "conflict")
"""Messages of temporary or intended errors."""


def failures() -> tuple[type[Exception], ...]:
    """Return the errors that a damaged file may cause; a library that is not imported cannot have raised its own."""
    kinds: list[type[Exception]] = [duckdb.Error, UnicodeDecodeError]
    if "polars" in sys.modules:
        kinds.append(sys.modules["polars"].exceptions.PolarsError)
    if "pyarrow" in sys.modules:
        kinds.append(sys.modules["pyarrow"].ArrowInvalid)
    return tuple(kinds)


@contextmanager
def naming_damage(project: Project) -> Iterator[None]:
    """Turn errors of the block that a damaged lake file caused into a `LogError` that names the file."""
    try:
        yield
    except failures() as error:
        if (damage := damage_behind(project, error)) is not None:
            # DuckDB's own text may quote file content.
            raise damage from None
        raise


def damage_behind(project: Project, error: Exception) -> LogError | None:
    """Return the error that names the damaged, missing or unreadable file which caused an error; None if no file did."""
    text, data = str(error), data_path(project)
    if (match := re.search(re.escape(data) + r"[^\"']*?\.parquet", text)) is not None:
        return _build_error(match[0], text)
    if not _may_be_damage(error, text):
        return None
    catalog = catalog_of(project)
    if isinstance(catalog, SqliteCatalog) and (damaged := catalog_damage(catalog.path)) is not None:
        return damaged
    with suppress(duckdb.Error, LogError):
        return next(damaged_files(project), None)
    return None


def damaged_files(project: Project) -> Iterator[LogError]:
    """Yield an error for each data file of the newest snapshot that is missing, has another size than written, or is unreadable."""
    with connect() as connection:
        attach(connection, catalog_of(project), data_path(project), read_only=True)
        query = files(__package__).joinpath("data_files.sql").read_text("utf-8")
        rows = connection.execute(query).fetchall()
    data, read_bytes, right_size = data_path(project), 0, []
    for path, is_relative, size_bytes in rows:
        file = f"{data}{path}" if is_relative else path
        if (fault := _size_error(file, size_bytes)) is not None:
            yield fault
        else:
            right_size.append((file, size_bytes))
    for file, size_bytes in right_size:
        read_bytes += size_bytes
        if read_bytes > MOST_BYTES:
            return
        if (fault := _content_error(file)) is not None:
            yield fault


def _may_be_damage(error: Exception, text: str) -> bool:
    if any(words in text for words in _MOMENTARY):
        return False
    # The readers of Thrift and of pages raise the bare class; no query does.
    return (
        type(error) is duckdb.Error
        or (not isinstance(error, duckdb.Error))
        or (isinstance(error, _BY_FILES) and not _BY_QUERIES.match(text))
    )


def _build_error(file: str, text: str) -> LogError:
    if "No such file" in text:
        return _damage_error(file, "is missing")
    if "Permission denied" in text:
        return LogError("a data file cannot be read: permission denied", where=file, todo="ask its owner for the right to read it")
    return _damage_error(file, "is damaged")


def _damage_error(file: str, state: str) -> DamagedError:
    return DamagedError(f"the data file {file} {state}", todo=TODO)


def _size_error(file: str, size_bytes: int) -> LogError | None:
    if "://" in file:
        return None
    try:
        actual = Path(file).stat().st_size
    except FileNotFoundError:
        return _damage_error(file, "is missing")
    except OSError:
        return None
    return None if actual == size_bytes else _damage_error(file, f"is damaged: it has {actual} bytes, {size_bytes} were written")


def _content_error(file: str) -> LogError | None:
    """Read all pages of a file and check that its texts are UTF-8; return the error, if any."""
    with connect() as connection:
        try:
            for batch in connection.execute("SELECT * FROM read_parquet($file)", {"file": file}).to_arrow_reader(100_000):
                batch.validate(full=True)
        except failures() as error:
            return _build_error(file, str(error))
    return None
