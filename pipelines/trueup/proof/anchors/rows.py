"""Row digests: a digest for each commit of each table of the log, over whole rows with attributes, bucket and provenance.

The canonical form of a row is the concatenation, in the order of the column names, of each column that is not NULL. A text is
``NAME=LENGTH:TEXT`` (length in UTF-8 bytes), any other value ``NAME=VALUE;``. Integers and decimals are in decimal, bytes in
hexadecimal. Times are microseconds since 1970-01-01 UTC, and days are ISO dates. Binary fractions are as C's ``%a`` writes them.
Lists have a comma after each element. A column added later is NULL in earlier rows, so their form does not change.

The digest of a commit is SHA-256 over ``trueup commit 1``, the table, the snapshot and the SHA-256 of each row in ascending
order. It does not depend on the order of rows or on their files, so merging files does not change it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from trueup.log.lake import Lake
from trueup.proof.anchors.blocks import Block
from trueup.sql_files import SqlFiles

MEMORY_LIMIT = "1GB"
"""Memory that DuckDB may use to sort the digests of rows; it spills the rest to a temporary folder."""

_BATCH_ROWS = 100_000
_VALUES = {
    "BLOB": "hex({name})",
    "BLOB[]": "array_to_string(list_transform({name}, x -> hex(x)), ',') || ','",
    "TIMESTAMP WITH TIME ZONE": "epoch_us({name})",
    "DOUBLE": "format('{{:a}}', {name})",
}
_TEXTS = ("VARCHAR", "JSON")
_PLAIN = ("BIGINT", "SMALLINT", "BOOLEAN", "DATE", "DECIMAL(38,0)")


@dataclass(frozen=True)
class Table:
    """A table of the log in the attached lake: its columns by name, and the snapshot that created it.

    `is_append_only` is False where rows were deleted; trueup itself never deletes rows.
    """

    name: str
    columns: dict[str, str]
    begin_snapshot: int
    is_append_only: bool


statement = cache(SqlFiles("trueup.proof.anchors").text)


def tables_of(lake: Lake) -> dict[str, Table]:
    """Return all tables of the schema `events`, by name."""
    tables: dict[str, Table] = {}
    for name, column, dtype, begin, deletions in lake.connection.execute(statement("tables")).fetchall():
        tables.setdefault(name, Table(name, {}, begin, deletions == 0)).columns[column] = dtype
    return tables


@contextmanager
def bounded_memory(lake: Lake) -> Iterator[None]:
    """Bound the memory of a connection without other users, and give it a folder to spill to."""
    with tempfile.TemporaryDirectory(prefix="trueup-anchor-") as folder:
        bound_memory(lake, folder)
        yield


def bound_memory(lake: Lake, folder: str) -> None:
    """Bound the memory of a connection; DuckDB spills to `folder`."""
    quoted = folder.replace("'", "''")
    lake.connection.execute(f"SET temp_directory = '{quoted}'")
    lake.connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")


def commits_of(lake: Lake, table: Table, *, after_snapshot: int, upto_snapshot: int) -> Iterator[Block]:
    """Yield a block for each commit in (after, upto] with rows of the table, in order; memory holds only one batch.

    Raises `duckdb.Error` where a data file cannot be read.
    """
    relation, values = f"lake.events.{table.name}", list[object]()
    if table.is_append_only and table.begin_snapshot <= after_snapshot:
        relation, values = lake.relation(table.name, after_snapshot, upto_snapshot)
    query = statement("commit_rows").format(relation=relation, form=row_form(table.columns))
    reader = lake.connection.execute(query, [*values, after_snapshot, upto_snapshot]).to_arrow_reader(_BATCH_ROWS)
    commit: _Commit | None = None
    for batch in reader:
        snapshots = batch.column(0).to_numpy()
        digests = batch.column(1).to_pylist()
        starts = [0, *(np.flatnonzero(np.diff(snapshots)) + 1).tolist(), len(digests)]
        for start, end in pairwise(starts):
            if start == end:
                continue
            snapshot = int(snapshots[start])
            if commit is not None and commit.snapshot != snapshot:
                yield commit.block()
                commit = None
            commit = commit or _Commit(table.name, snapshot)
            commit.add(digests[start:end])
    if commit is not None:
        yield commit.block()


class _Commit:
    """The digest of one commit, fed with its rows."""

    def __init__(self, table: str, snapshot: int) -> None:
        self.snapshot, self._rows = snapshot, 0
        self._digest = hashlib.sha256(f"trueup commit 1\n{table};{snapshot}\n".encode())

    def add(self, digests: list[bytes]) -> None:
        """Add digests of rows, in ascending order."""
        self._rows += len(digests)
        self._digest.update(b"".join(digests))

    def block(self) -> Block:
        """Return the commit as a block of one."""
        return Block(1, self._rows, self.snapshot, self._digest.hexdigest())


def row_form(columns: dict[str, str]) -> str:
    """Return a DuckDB expression for the canonical form of a row with these columns; raise `ValueError` for an unknown type."""
    return f"concat({', '.join(_encode_field(name, columns[name]) for name in sorted(columns))})"


def _encode_field(name: str, dtype: str) -> str:
    if dtype in _TEXTS:
        return f"coalesce('{name}=' || strlen({name}) || ':' || {name}, '')"
    if dtype not in _VALUES and dtype not in _PLAIN:
        raise ValueError(f"the column {name} is of type {dtype}, for which anchors have no canonical form")
    value = _VALUES.get(dtype, "{name}").format(name=name)
    return f"coalesce('{name}=' || {value} || ';', '')"
