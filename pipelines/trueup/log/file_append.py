"""File append: PyArrow writes rows as Parquet files below the lake's data folder, and the lake takes them over.

DuckDB writes the same rows at two to three times the cost. The files have the columns, the folders and the order of rows that an
INSERT gives them, so readers, merges and removals treat both alike. A file that no commit took over is read by nothing.
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
"""Mean number of rows of a file below which an INSERT costs less: it has not to ask the lake where and how to write."""
_ROWS_PER_GROUP = 122_880
"""Rows of a row group as DuckDB writes them: readers skip those of other buckets."""
_JSON = "attributes"
_TEXT_FIELD = b"\x18\x0a" + _JSON.encode() + b"\x25\x00\x4c\x1c\x00\x00"
"""The column in a Parquet footer as PyArrow declares it: converted type UTF8 (0), logical type STRING (1)."""
_JSON_FIELD = b"\x18\x0a" + _JSON.encode() + b"\x25\x26\x4c\xcc\x00\x00"
"""The same with converted type JSON (19) and logical type JSON (12), without which the lake refuses the file."""
_WITHOUT_STATISTICS = (pl.Binary, pl.Boolean)
"""Types whose least and greatest values DuckLake reads from a file in another notation than its own."""
_SAMPLE = 4_096
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""The subfolder of rows without a value, as DuckLake names it."""


def append_as_files(connection: duckdb.DuckDBPyConnection, data: str, table: str, rows: pl.DataFrame, written: list[Path]) -> bool:
    """Append rows of a stream to `events.TABLE` as files of its folder; return False, without a row, where an INSERT must do it.

    That is where files would be small, where the lake cannot take them over (see `table_folder`), and for other tables. `data` is
    the location of the lake's data. The files are appended to `written` before they are, for `remove_unregistered`.
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
    parts = list(_parts(rows.with_columns(**absent).select(pl.col(n).cast(t) for n, t in columns.items()), folder))
    paths = [subfolder / f"{uuid.uuid4()}.parquet" for subfolder, _ in parts]
    written += paths
    for path, (_, part) in zip(paths, parts, strict=True):
        if not _write(path, part):
            return False
    connection.execute(
        "CALL ducklake_add_data_files('lake', ?, ?, schema => 'events')", [table, [str(path) for path in paths]]
    ).fetchall()
    return True


def remove_unregistered(connection: duckdb.DuckDBPyConnection, written: Sequence[Path]) -> None:
    """Remove files of `append_as_files` that the lake has not taken over; keep all where the catalog cannot be asked."""
    if not written:
        return
    query = "SELECT path FROM __ducklake_metadata_lake.ducklake_data_file WHERE split_part(path, '/', -1) IN (SELECT unnest(?))"
    with suppress(duckdb.Error, OSError):
        taken = connection.execute(query, [[path.name for path in written]]).fetchall()
        known = {Path(path).name for (path,) in taken}
        for path in written:
            if path.name not in known:
                path.unlink(missing_ok=True)


def _parts(rows: pl.DataFrame, folder: TableFolder) -> Iterator[tuple[Path, pl.DataFrame]]:
    """Yield the rows of each subfolder, in their order."""
    if (name := folder.divided_by) is None:
        yield folder.path, rows
        return
    # Most parts of a feed are of one day; dividing copies the rows.
    days = rows[name].unique(maintain_order=True).to_list()
    parts = [rows] if len(days) == 1 else rows.partition_by(name, maintain_order=True)
    for day, part in zip(days, parts, strict=True):
        yield folder.path / f"{name}={_NO_VALUE if day is None else day}", part


def _write(path: Path, rows: pl.DataFrame) -> bool:
    """Write rows to a new file; return False where its footer is not as PyArrow is known to write it."""
    import pyarrow.parquet as pq  # Commits of few rows do not need it.

    path.parent.mkdir(parents=True, exist_ok=True)
    compared = [name for name, dtype in rows.schema.items() if dtype not in _WITHOUT_STATISTICS and name != _JSON]
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    with path.open("xb+") as file:
        with pq.ParquetWriter(
            file, table.schema, compression="lz4", use_dictionary=_repeating(rows), write_statistics=compared, store_schema=False
        ) as writer:
            writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        return _declare_json(file)


def _repeating(rows: pl.DataFrame) -> list[str]:
    """Return the columns whose values repeat, of which a dictionary saves space; looking for one costs the others their time."""
    sample = rows.gather_every(max(1, rows.height // _SAMPLE))
    return [values.name for values in sample if 2 * values.n_unique() <= sample.height]


def _declare_json(file: BinaryIO) -> bool:
    """Declare the attributes as JSON in the footer of a Parquet file, which PyArrow does from version 19 on only."""
    file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-8 - length, os.SEEK_END)
    footer = file.read(length)
    if footer.count(_TEXT_FIELD) != 1:
        return False
    file.seek(-8 - length, os.SEEK_END)
    file.write(footer.replace(_TEXT_FIELD, _JSON_FIELD))
    return True
