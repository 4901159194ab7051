"""Files of a table of the log, for readers and writers that access columns of Parquet files directly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from trueup.sql_files import SqlFiles

_SQL = SqlFiles("trueup.log.catalog")
KNOWN_VERSIONS = ("1.0",)
"""The versions of DuckLake's catalog whose tables of files are known."""
SNAPSHOT = "_ducklake_internal_snapshot_id"
"""The column with the snapshot of each row, in a file that was merged from several commits."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table, with its number of records and the snapshot of its first rows.

    A merged file has rows of several commits, and the column `SNAPSHOT`.
    """

    path: str
    records: int
    first_snapshot: int
    is_merged: bool


def table_files(connection: duckdb.DuckDBPyConnection, data: str, table: str, *, low: int, high: int) -> list[DataFile] | None:
    """Return the files of `events.TABLE` with rows of snapshots in (low, high], in the order of their commits.

    `data` is the location of the lake's data. Return None where rows can only be read through DuckLake. Then the data are not in
    a folder, the catalog is of an unknown version, or rows are in the catalog itself. Or a file is encrypted, of another format,
    or has deleted rows.
    """
    if "://" in data:
        return None
    try:
        if not _is_known(connection):
            return None
        rows = connection.execute(_SQL.text("table_files"), {"table": table, "low": low, "high": high}).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    if any(is_special for *_, is_special in rows):
        return None
    return [
        DataFile(str(Path(data, path)) if is_relative else path, records, first_snapshot, is_merged)
        for path, is_relative, records, first_snapshot, is_merged, _ in rows
    ]


@dataclass(frozen=True)
class TableFolder:
    """Folder of a table's files, and the table's columns; `divided_by` has a subfolder for each of its values, None without."""

    path: Path
    divided_by: str | None
    columns: frozenset[str]


_AMBIGUOUS = re.compile(r"[*?\[\]{}=\\]")
"""Characters in a file's path that DuckLake would read as a pattern, or as the value of a column."""


def table_folder(connection: duckdb.DuckDBPyConnection, data: str, table: str) -> TableFolder | None:
    """Return the folder of `events.TABLE` for a writer of files, which the lake then registers.

    `data` is the location of the lake's data. Return None where only DuckLake can write them:

    * the data are not in a folder, or its path is ambiguous,
    * the catalog has an unknown version,
    * files are encrypted, or a user has set options for them,
    * the folder or the partitions of the table are unusual.
    """
    if "://" in data or _AMBIGUOUS.search(data):
        return None
    try:
        if not _is_known(connection):
            return None
        rows = connection.execute(_SQL.text("table_folder"), {"table": table}).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    if len(rows) != 1:
        return None
    path, divided_by, columns, is_special = rows[0]
    return None if is_special or _AMBIGUOUS.search(path) else TableFolder(Path(data, path), divided_by, frozenset(columns))


def _is_known(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the catalog is of a known version and holds no rows of tables itself."""
    version, inlined = connection.execute(_SQL.text("catalog_form")).fetchall()[0]
    return version in KNOWN_VERSIONS and not inlined
