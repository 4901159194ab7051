"""Append by files: PyArrow writes rows as Parquet files below the lake's data folder, and DuckLake registers the files.

An INSERT by DuckDB costs two to three times as much. The files have the columns, folders and row order of an INSERT, so readers,
merges and removals treat both alike. A file that no commit registers is never read.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import duckdb
import polars as pl

from trueup.events.schema import CORRECTED, EVENT
from trueup.log.catalog.table_files import TableFolder, table_folder

FEWEST_ROWS_PER_FILE = 50_000
"""Mean number of rows per file below which an INSERT costs less, because it needs no query for the folder and its layout."""
_ROWS_PER_GROUP = 122_880
"""Rows of a row group, as many as DuckDB writes, so that readers can skip row groups of other buckets."""
_JSON = "attributes"
_TEXT_FIELD = b"\x18\x0a" + _JSON.encode() + b"\x25\x00\x4c\x1c\x00\x00"
"""Declaration of a text column in a Parquet footer by PyArrow: converted type UTF8 (0), logical type STRING (1)."""
_JSON_FIELD = b"\x18\x0a" + _JSON.encode() + b"\x25\x26\x4c\xcc\x00\x00"
"""The same declaration with converted type JSON (19) and logical type JSON (12), which the lake requires."""
_WITHOUT_STATISTICS = (pl.Binary, pl.Boolean)
"""Types whose minimum and maximum DuckLake would read from a file in a notation other than its own."""
_SAMPLE = 4_096
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""The subfolder of rows without a value, as DuckLake names it."""


def append_as_files(connection: duckdb.DuckDBPyConnection, data: str, table: str, rows: pl.DataFrame, written: list[Path]) -> bool:
    """Append rows of a stream to `events.TABLE` as files; return False, with no row written, where an INSERT must do it.

    An INSERT is needed for small files, where the lake cannot register files (see `table_folder`), and for other tables. `data` is
    the location of the lake's data. Each file name is added to `written` before the file is written, for `remove_unregistered`.
    """
    columns = EVENT.get(table, {}) | (CORRECTED if table == "charge" else {})
    if rows.height < FEWEST_ROWS_PER_FILE or not set(rows.columns) <= set(columns):
        return False
    if "day" in rows.columns and rows.height < FEWEST_ROWS_PER_FILE * rows["day"].n_unique():
        return False
    folder = table_folder(connection, data, table)
    if folder is None or folder.columns != columns.keys():
        return False
    absent = {name: pl.lit(None, dtype) for name, dtype in columns.items() if name not in rows.columns}
    parts = list(_divide_by_subfolder(rows.with_columns(**absent).select(pl.col(n).cast(t) for n, t in columns.items()), folder))
    # A random name, as DuckLake's own: no result depends on it, and a file that an interrupted commit left is never overwritten.
    paths = [subfolder / f"{uuid.uuid4()}.parquet" for subfolder, _ in parts]
    written += paths
    for path, (_, part) in zip(paths, parts, strict=True):
        if not _write_file(path, part):
            return False
    connection.execute(
        "CALL ducklake_add_data_files('lake', ?, ?, schema => 'events')", [table, [str(path) for path in paths]]
    ).fetchall()
    return True


def remove_unregistered(connection: duckdb.DuckDBPyConnection, written: Sequence[Path]) -> None:
    """Remove files of `append_as_files` that the lake has not registered; keep all of them where the catalog cannot be read."""
    if not written:
        return
    query = "SELECT path FROM __ducklake_metadata_lake.ducklake_data_file WHERE split_part(path, '/', -1) IN (SELECT unnest(?))"
    with suppress(duckdb.Error, OSError):
        taken = connection.execute(query, [[path.name for path in written]]).fetchall()
        known = {Path(path).name for (path,) in taken}
        for path in written:
            if path.name not in known:
                path.unlink(missing_ok=True)


def _divide_by_subfolder(rows: pl.DataFrame, folder: TableFolder) -> Iterator[tuple[Path, pl.DataFrame]]:
    """Yield each subfolder with its rows, in order."""
    if (name := folder.divided_by) is None:
        yield folder.path, rows
        return
    # Most parts of a feed have rows of one day. Avoid dividing them, because that copies the rows.
    days = rows[name].unique(maintain_order=True).to_list()
    parts = [rows] if len(days) == 1 else rows.partition_by(name, maintain_order=True)
    for day, part in zip(days, parts, strict=True):
        yield folder.path / f"{name}={_NO_VALUE if day is None else day}", part


def _write_file(path: Path, rows: pl.DataFrame) -> bool:
    """Write rows to a new file; return False where its footer differs from the form that this module can change."""
    import pyarrow.parquet as pq  # Commits of few rows do not need this import.

    path.parent.mkdir(parents=True, exist_ok=True)
    compared = [name for name, dtype in rows.schema.items() if dtype not in _WITHOUT_STATISTICS and name != _JSON]
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    with path.open("xb+") as file:
        with pq.ParquetWriter(
            file,
            table.schema,
            compression="lz4",
            use_dictionary=_find_repetitive(rows),
            write_statistics=compared,
            store_schema=False,
        ) as writer:
            writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        return _declare_json(file)


def _find_repetitive(rows: pl.DataFrame) -> list[str]:
    """Return the columns whose values repeat. Only for these does a dictionary save more space than it costs time."""
    sample = rows.gather_every(max(1, rows.height // _SAMPLE))
    return [values.name for values in sample if 2 * values.n_unique() <= sample.height]


def _declare_json(file: BinaryIO) -> bool:
    """Declare the attributes as JSON in the footer of a Parquet file, which PyArrow itself does only from version 19 on."""
    file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-8 - length, os.SEEK_END)
    footer = file.read(length)
    if footer.count(_TEXT_FIELD) != 1:
        return False
    file.seek(-8 - length, os.SEEK_END)
    file.write(footer.replace(_TEXT_FIELD, _JSON_FIELD))
    return True
