"""Data files of the lake: all exist, with the size and rows that the catalog lists, and are readable to the last value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb

from trueup.log.catalog.connection import connect
from trueup.log.lake import data_path
from trueup.proof.evidence import Check, Evidence, FaultCollector
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
        """Whether the file is on this machine."""
        return "://" not in self.path


def data_files(evidence: Evidence) -> list[DataFile]:
    """Return all data files of the newest snapshot."""
    root = data_path(evidence.lake.project)
    return [
        DataFile(
            int(row["data_file_id"]),
            row["table_name"],
            _build_path(root, row),
            int(row["record_count"]),
            int(row["file_size_bytes"]),
        )
        for row in evidence.rows("data_files/data_files")
    ]


def _build_path(root: str, row: dict[str, object]) -> str:
    return f"{root}{row['schema_path']}{row['table_path']}{row['path']}" if row["path_is_relative"] else str(row["path"])


def check_files(evidence: Evidence, *, decode: bool = True) -> Check:
    """Compare existence, size and rows of every data file with the catalog; with `decode`, read every value of each.

    A damaged file cannot be read, or holds other values than were written: DuckDB refuses it, or other checks find the values. The
    log is append-only: rows that the catalog marks as deleted are faults.
    """
    faults, files = FaultCollector(CHECK), data_files(evidence)
    present = [file for file in files if _is_present(file, faults)]
    evidence.damaged.update(file.number for file in files if file not in present)
    with connect() as connection:
        readable = _with_footers(connection, present, faults)
        if decode:
            for file, damage in _find_undecodable(readable):
                evidence.damaged.add(file.number)
                faults.tampered(_describe_file(file), f"the data file is damaged: {damage}", kind_of=file.table)
        evidence.damaged.update(file.number for file in present if file not in readable)
    for row in evidence.rows("data_files/marked_deleted"):
        faults.tampered(f"table {row['table_name']}", f"{row['rows']} rows are marked as deleted; the log never deletes rows")
    return Check(CHECK, len(files), "data file", faults.all())


def _describe_file(file: DataFile) -> str:
    return f"{file.table} {file.path}"


def _is_present(file: DataFile, faults: FaultCollector) -> bool:
    if not file.is_local:
        return True
    path = Path(file.path)
    if not path.is_file():
        faults.tampered(_describe_file(file), "the data file is missing: restore it from a copy", kind_of=file.table)
        return False
    size = path.stat().st_size
    if size != file.size_bytes:
        detail = f"the data file has {size} bytes, the catalog lists {file.size_bytes}"
        faults.tampered(_describe_file(file), detail, kind_of=file.table)
    return True


def _with_footers(connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile], faults: FaultCollector) -> list[DataFile]:
    """Return the files with readable footers; add a fault where their rows differ from the catalog's."""
    readable = []
    for start in range(0, len(files), _AT_ONCE):
        for file, rows in _read_footers(connection, files[start : start + _AT_ONCE]):
            if isinstance(rows, str):
                faults.tampered(_describe_file(file), f"the data file is damaged: {rows}", kind_of=file.table)
                continue
            readable.append(file)
            if rows != file.rows:
                detail = f"the data file has {rows} rows, the catalog lists {file.rows}"
                faults.tampered(_describe_file(file), detail, kind_of=file.table)
    return readable


def _read_footers(connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile]) -> Iterator[tuple[DataFile, int | str]]:
    """Yield each file with the number of rows in its footer, or with the reason why the footer cannot be read.

    A batch with a damaged file is halved until the damaged file is alone.
    """
    try:
        query = connection.execute(statement("data_files/footers"), {"paths": [file.path for file in files]})
        rows = dict(query.fetchall())
    except duckdb.Error as error:
        if len(files) == 1:
            yield files[0], first_line(error)
            return
        half = len(files) // 2
        yield from _read_footers(connection, files[:half])
        yield from _read_footers(connection, files[half:])
        return
    for file in files:
        yield file, int(rows[file.path])


def _find_undecodable(files: Sequence[DataFile]) -> Iterator[tuple[DataFile, str]]:
    """Yield the files that cannot be decoded, with the reason; the files of a table are read together while no read fails."""
    with ExitStack() as opened:
        connection = opened.enter_context(connect())
        for _, group in groupby(files, key=lambda file: file.table):
            of_table = list(group)
            if damage_of(*(file.path for file in of_table), connection=connection):
                yield from ((file, damage) for file in of_table if (damage := damage_of(file.path)))
                # The failure may have made the database unusable.
                opened.close()
                connection = opened.enter_context(connect())


def damage_of(*paths: str, connection: duckdb.DuckDBPyConnection | None = None) -> str:
    """Return the reason why one of the Parquet files cannot be decoded, empty if all can.

    The database of the connection, by default one of its own, may be unusable after a failure.
    """
    try:
        with nullcontext(connection) if connection else connect() as database:
            database.execute(statement("data_files/decoded"), {"paths": list(paths)}).fetchall()
    except duckdb.Error as error:
        return first_line(error)
    return ""


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return next(iter(str(error).splitlines()), type(error).__name__)
