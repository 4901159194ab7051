"""The lake's data files: all there, of the size and number of rows that the catalog lists, and readable to the last value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb

from trueup.log.connection import connect
from trueup.log.lake import data_path
from trueup.proof.evidence import Check, Evidence, Found
from trueup.proof.statements import statement

CHECK = "files"
_AT_ONCE = 500


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table, as the catalog lists it; `path` is a local path or a URL."""

    number: int
    table: str
    path: str
    rows: int
    size_bytes: int

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        return "://" not in self.path


def data_files(evidence: Evidence) -> list[DataFile]:
    """All data files of the newest snapshot."""
    root = data_path(evidence.lake.project)
    return [
        DataFile(
            int(row["data_file_id"]), row["table_name"], _path(root, row), int(row["record_count"]), int(row["file_size_bytes"])
        )
        for row in evidence.rows("data_files")
    ]


def _path(root: str, row: dict[str, object]) -> str:
    return f"{root}{row['schema_path']}{row['table_path']}{row['path']}" if row["path_is_relative"] else str(row["path"])


def check_files(evidence: Evidence, *, decode: bool = True) -> Check:
    """Compares existence, size and rows of every data file with the catalog; with `decode`, reads every value of each.

    A file is damaged where it cannot be read, or where what is read is not what was written: then DuckDB refuses it, or other
    checks find the values. The log is append-only: rows that the catalog marks as deleted are faults.
    """
    found, files = Found(CHECK), data_files(evidence)
    present = [file for file in files if _is_present(file, found)]
    evidence.damaged.update(file.number for file in files if file not in present)
    with connect() as connection:
        readable = _with_footers(connection, present, found)
        if decode:
            for file, damage in _damaged(readable):
                evidence.damaged.add(file.number)
                found.tampered(_where(file), f"the data file is damaged: {damage}", kind_of=file.table)
        evidence.damaged.update(file.number for file in present if file not in readable)
    for row in evidence.rows("marked_deleted"):
        found.tampered(f"table {row['table_name']}", f"{row['rows']} rows are marked as deleted; the log deletes nothing")
    return Check(CHECK, len(files), "data file", found.all())


def _where(file: DataFile) -> str:
    return f"{file.table} {file.path}"


def _is_present(file: DataFile, found: Found) -> bool:
    if not file.is_local:
        return True
    path = Path(file.path)
    if not path.is_file():
        found.tampered(_where(file), "the data file is missing: restore it from a copy", kind_of=file.table)
        return False
    size = path.stat().st_size
    if size != file.size_bytes:
        told = f"the data file has {size} bytes, the catalog lists {file.size_bytes}"
        found.tampered(_where(file), told, kind_of=file.table)
    return True


def _with_footers(connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile], found: Found) -> list[DataFile]:
    """The files whose footers can be read; rows that differ from the catalog's are faults."""
    readable = []
    for start in range(0, len(files), _AT_ONCE):
        for file, rows in _footers(connection, files[start : start + _AT_ONCE]):
            if isinstance(rows, str):
                found.tampered(_where(file), f"the data file is damaged: {rows}", kind_of=file.table)
                continue
            readable.append(file)
            if rows != file.rows:
                told = f"the data file holds {rows} rows, the catalog lists {file.rows}"
                found.tampered(_where(file), told, kind_of=file.table)
    return readable


def _footers(connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile]) -> Iterator[tuple[DataFile, int | str]]:
    """The rows that each file's footer counts, or why it cannot be read; halves the files until the damaged ones are alone."""
    try:
        query = connection.execute(statement("footers"), {"paths": [file.path for file in files]})
        rows = dict(query.fetchall())
    except duckdb.Error as error:
        if len(files) == 1:
            yield files[0], first_line(error)
            return
        half = len(files) // 2
        yield from _footers(connection, files[:half])
        yield from _footers(connection, files[half:])
        return
    for file in files:
        yield file, int(rows[file.path])


def _damaged(files: Sequence[DataFile]) -> Iterator[tuple[DataFile, str]]:
    """The files that cannot be decoded, and why; the files of a table are read together while nothing fails."""
    for _, group in groupby(files, key=lambda file: file.table):
        of_table = list(group)
        if damage_of(*(file.path for file in of_table)):
            yield from ((file, damage) for file in of_table if (damage := damage_of(file.path)))


def damage_of(*paths: str) -> str:
    """Why one of some Parquet files cannot be decoded, empty where all can. Uses a database of its own, which a failure may end."""
    try:
        with connect() as connection:
            connection.execute(statement("decoded"), {"paths": list(paths)}).fetchall()
    except duckdb.Error as error:
        return first_line(error)
    return ""


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return next(iter(str(error).splitlines()), type(error).__name__)
