"""Rewriting of data files as by an attacker with write access: the catalog agrees with the written files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from trueup.collect.commit.chain import CONTROL, hash_of
from trueup.events.identity import canonical_sql, digest16_sql

Row = dict[str, Any]
Where = Callable[[Row], bool]


def data_files(folder: Path, table: str) -> list[tuple[int, Path]]:
    """Return the data files of a table by their numbers in the catalog, oldest first."""
    query = (
        "SELECT f.data_file_id, f.path FROM ducklake_data_file f JOIN ducklake_table t USING (table_id) "
        "WHERE t.table_name = ? AND f.end_snapshot IS NULL ORDER BY 1"
    )
    with closing(sqlite3.connect(folder / "lake/catalog.sqlite")) as catalog:
        return [(number, folder / "lake/data/events" / table / path) for number, path in catalog.execute(query, [table])]


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a data file."""
    with duckdb.connect() as connection:
        return _fetch_rows(connection, path)


def _fetch_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Row]:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE rows AS FROM read_parquet($path, hive_partitioning = false)", {"path": str(path)})
    query = connection.execute("FROM rows")
    names = [column[0] for column in query.description]
    return [dict(zip(names, row, strict=True)) for row in query.fetchall()]


def rewrite(folder: Path, table: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Apply `change` to the rows of each data file and remove files without rows; raise if no row changed."""
    changed = False
    for number, path in data_files(folder, table):
        with duckdb.connect() as connection:
            before = _fetch_rows(connection, path)
            rows = change([dict(row) for row in before])
            if rows != before:
                _write_rows(connection, path, rows)
                _update_catalog(folder, table, number, path, len(rows), len(rows) - len(before))
                changed = True
    assert changed, f"no row of {table} was changed"


def _write_rows(connection: duckdb.DuckDBPyConnection, path: Path, rows: list[Row]) -> None:
    """Write rows as the lake does: with its types, and with its ids of columns."""
    if not rows:
        path.unlink()
        return
    ids = _read_field_ids(connection, path)
    connection.execute("DELETE FROM rows")
    placeholders = ", ".join("?" for _ in rows[0])
    connection.executemany(f"INSERT INTO rows VALUES ({placeholders})", [list(row.values()) for row in rows])
    connection.execute(f"COPY rows TO '{path}' (FORMAT parquet, FIELD_IDS {{{ids}}})")


def _read_field_ids(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    query = "SELECT name, field_id, num_children FROM parquet_schema(?)"
    ids, lists = [], 0
    for name, number, children in connection.execute(query, [str(path)]).fetchall()[1:]:
        if lists:
            lists -= 1
            if not lists:
                ids[-1] += f", element: {number}}}"
        elif children:
            ids.append(f"{name}: {{__duckdb_field_id: {number}")
            lists = 2
        else:
            ids.append(f"{name}: {number}")
    return ", ".join(ids)


def _update_catalog(folder: Path, table: str, number: int, path: Path, count: int, more: int) -> None:
    """Update the size and rows of a rewritten file in the catalog."""
    with closing(sqlite3.connect(folder / "lake/catalog.sqlite")) as catalog, catalog:
        # Without statistics the lake reads the file for every query, instead of answering from minimum and maximum.
        catalog.execute("DELETE FROM ducklake_file_column_stats WHERE data_file_id = ?", [number])
        of_table = "(SELECT table_id FROM ducklake_table WHERE table_name = ?)"
        catalog.execute(f"DELETE FROM ducklake_table_column_stats WHERE table_id = {of_table}", [table])
        if count:
            size, footer = path.stat().st_size, int.from_bytes(path.read_bytes()[-8:-4], "little")
            catalog.execute(
                "UPDATE ducklake_data_file SET record_count = ?, file_size_bytes = ?, footer_size = ? WHERE data_file_id = ?",
                [count, size, footer, number],
            )
        else:
            catalog.execute("DELETE FROM ducklake_data_file WHERE data_file_id = ?", [number])
        catalog.execute(
            f"UPDATE ducklake_table_stats SET record_count = record_count + ? WHERE table_id = {of_table}",
            [more, table],
        )


def edit(table: str, where: Where, **values: Any) -> Callable[[Path], None]:
    """Return a change that sets columns of the rows that `where` selects; a function as value receives the row."""

    def change(rows: list[Row]) -> list[Row]:
        return [
            {**row, **{name: value(row) if callable(value) else value for name, value in values.items()}} if where(row) else row
            for row in rows
        ]

    return lambda folder: rewrite(folder, table, change)


def delete(table: str, where: Where) -> Callable[[Path], None]:
    """Return a change that removes the rows that `where` selects."""
    return lambda folder: rewrite(folder, table, lambda rows: [row for row in rows if not where(row)])


def add(table: str, where: Where, **values: Any) -> Callable[[Path], None]:
    """Return a change that adds a copy of each row that `where` selects, with other values."""

    def change(rows: list[Row]) -> list[Row]:
        return rows + [
            {**row, **{name: value(row) if callable(value) else value for name, value in values.items()}}
            for row in rows
            if where(row)
        ]

    return lambda folder: rewrite(folder, table, change)


def with_new_id(stream: str, where: Where, **values: Any) -> Callable[[Path], None]:
    """Return a change that sets columns as `edit` does, and `event_id` to the id of the new content."""

    def change(rows: list[Row]) -> list[Row]:
        return [with_id(stream, {**row, **values}) if where(row) else row for row in rows]

    return lambda folder: rewrite(folder, stream, change)


def with_id(stream: str, row: Row) -> Row:
    """Return a row with the id of its content."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = pa.Table.from_pylist([{n: v for n, v in row.items() if n != "event_id"}])
        connection.register("rows", rows)
        # A column that is NULL throughout has no type.
        missing = [name for name, value in row.items() if value is None]
        (row_id,) = connection.execute(f"SELECT {digest16_sql(canonical_sql(stream, missing=missing))} FROM rows").fetchall()
    return {**row, "event_id": row_id[0]}


def edit_and_rehash(where: Where, **values: Any) -> Callable[[Path], None]:
    """Return a change that sets columns of control rows and recomputes the hashes of all chains."""

    def apply(folder: Path) -> None:
        edit("control", where, **values)(folder)
        rows = sorted(
            (row for _, path in data_files(folder, "control") for row in rows_of(path)),
            key=lambda row: (row["source"], row["sequence_no"]),
        )
        last: dict[str, str] = {}
        hashes: dict[tuple[str, int], tuple[str, str]] = {}
        for row in rows:
            linked = {**{name: _hash_input(row.get(name)) for name in CONTROL}, "previous_hash": last.get(row["source"], "")}
            last[row["source"]] = hash_of(linked)
            hashes[row["source"], row["sequence_no"]] = (linked["previous_hash"], last[row["source"]])
        edit(
            "control", lambda row: True,
            previous_hash=lambda row: hashes[row["source"], row["sequence_no"]][0],
            hash=lambda row: hashes[row["source"], row["sequence_no"]][1],
        )(folder)  # fmt: skip

    return apply


def _hash_input(value: Any) -> Any:
    return round(value.timestamp() * 1_000_000) if hasattr(value, "timestamp") else value


def flip_byte(table: str, *, at: float = 0.3) -> Callable[[Path], None]:
    """Return a change that flips one byte in the newest data file of a table, at the fraction `at` of the bytes before the footer."""

    def apply(folder: Path) -> None:
        _, path = data_files(folder, table)[-1]
        content = bytearray(path.read_bytes())
        footer = int.from_bytes(content[-8:-4], "little")
        content[4 + int((len(content) - footer - 12) * at)] ^= 0xFF
        path.write_bytes(content)

    return apply


def move_file(table: str, snapshot: int) -> Callable[[Path], None]:
    """Return a change that moves the newest data file of a table to another snapshot in the catalog."""

    def apply(folder: Path) -> None:
        number, _ = data_files(folder, table)[-1]
        with closing(sqlite3.connect(folder / "lake/catalog.sqlite")) as catalog, catalog:
            catalog.execute("UPDATE ducklake_data_file SET begin_snapshot = ? WHERE data_file_id = ?", [snapshot, number])

    return apply


def remove_file(table: str) -> Callable[[Path], None]:
    """Return a change that removes the newest data file of a table; the catalog still lists it."""
    return lambda folder: data_files(folder, table)[-1][1].unlink()


def raw(name: str, change: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    """Return a change of a raw file in the landing folder; a result of None removes it."""

    def apply(folder: Path) -> None:
        path = folder / "landing" / name
        content = change(path.read_bytes())
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    return apply


def both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a change that applies several changes in order."""

    def apply(folder: Path) -> None:
        for step in steps:
            step(folder)

    return apply
