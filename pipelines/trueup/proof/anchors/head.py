"""Head of the log as a statement: position, chains, digests, the digests of all commits, and data files."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from trueup.errors import LogError
from trueup.fraud.scoring.digest import score_digest
from trueup.log.lake import Lake, data_path
from trueup.proof.anchors.blocks import extend
from trueup.proof.anchors.rows import Table, commits_of, statement, tables_of
from trueup.proof.anchors.statement import Anchor, BlockState, ChainHead, DataFile, Digests, Statement
from trueup.reconcile.results.digest import digests as findings_digests
from trueup.regular import open_regular

_CHUNK_BYTES = 1 << 20


def state_head(lake: Lake, *, key: str, made_at: datetime, previous: Anchor | None, extends: bool) -> Statement:
    """Return the statement of the log's newest position and hashes.

    Parameters
    ----------
    key:
        The fingerprint of the key that will sign.
    previous:
        The previous anchor, whose sequence the statement continues.
    extends:
        Whether commits and files of the previous anchor are copied from it; otherwise all are read again.
    """
    before = previous.statement if previous else None
    snapshot = current_snapshot(lake)
    position, position_snapshot, reconciled = _read_positions(lake, snapshot)
    known = before if extends else None
    return Statement(
        format="trueup anchor 1",
        lake=identity(lake),
        key=key,
        sequence_no=before.sequence_no + 1 if before else 1,
        previous=previous.sha256 if previous else None,
        made_at=made_at.astimezone(UTC).isoformat(),
        position=position,
        position_snapshot=position_snapshot,
        snapshot=snapshot,
        reconciled_position=reconciled,
        chains=chain_heads(lake, snapshot),
        digests=digests_as_of(lake, snapshot=snapshot, position=position, reconciled_position=reconciled),
        tables={name: _extend_blocks(lake, table, known, snapshot) for name, table in tables_of(lake).items()},
        files=_hash_new_files(lake, known, snapshot),
        has_all_files=known is None,
        next_file_id=_read_next_file_id(lake, snapshot),
    )


def identity(lake: Lake) -> str:
    """Return the identity of the lake: the id of its schema `events`, which is set at creation and survives moving the lake."""
    query = (
        "SELECT schema_uuid::VARCHAR FROM __ducklake_metadata_lake.ducklake_schema "
        "WHERE schema_name = 'events' AND end_snapshot IS NULL"
    )
    row = lake.connection.execute(query).fetchone()
    if row is None:
        raise LogError("the catalog has no event log", where=str(lake.project.directory))
    return str(row[0])


def current_snapshot(lake: Lake) -> int:
    """Return the newest snapshot of the lake."""
    row = lake.connection.execute("SELECT max(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot").fetchone()
    assert row is not None
    return int(row[0])


def chain_heads(lake: Lake, snapshot: int) -> dict[str, ChainHead]:
    """Return the last control row up to a snapshot, by source."""
    rows = lake.connection.execute(statement("chain_heads"), {"snapshot": snapshot}).fetchall()
    return {source: ChainHead(sequence_no=number, hash=value) for source, number, value in rows}


def digests_as_of(lake: Lake, *, snapshot: int, position: int, reconciled_position: int) -> Digests:
    """Return the digests at a snapshot: of findings up to the reconciled position, of scores up to the position."""
    values = {"snapshot": snapshot, "position": reconciled_position}
    history = lake.connection.execute(statement("finding_history"), values).pl()
    scores = lake.connection.execute(statement("scores"), {"snapshot": snapshot, "position": position}).pl()
    digests = findings_digests(history)
    return Digests(state=digests["state"], history=digests["history"], scores=score_digest(scores) if scores.height else None)


def data_files(lake: Lake, snapshot: int, *, first_file_id: int = 0) -> list[str]:
    """Return the data files of all tables as of a snapshot, from a DuckLake file number on; paths below the lake's data."""
    values = {"snapshot": snapshot, "first_file_id": first_file_id}
    rows = lake.connection.execute(statement("data_files"), values).fetchall()
    return [str(path) for path, _ in rows]


def hash_file(lake: Lake, path: str) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a data file; raise `OSError` or `duckdb.Error` where it cannot be read."""
    folder = data_path(lake.project)
    if "://" not in folder:
        return _hash_local(Path(folder) / path)
    # DuckDB reads the file from an object store, because it has the credentials. A file of the lake has at most some hundred MB.
    row = lake.connection.execute("SELECT size, sha256(content) FROM read_blob($1)", [folder + path]).fetchone()
    if row is None:
        raise FileNotFoundError(path)
    return int(row[0]), str(row[1])


def _hash_local(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _read_positions(lake: Lake, snapshot: int) -> tuple[int, int, int]:
    """Return the newest position, its snapshot, and the reconciled position, at a snapshot."""
    row = lake.connection.execute(statement("head"), {"snapshot": snapshot}).fetchone()
    assert row is not None
    position, position_snapshot, reconciled = row
    return int(position), int(position_snapshot), int(reconciled)


def _extend_blocks(lake: Lake, table: Table, known: Statement | None, snapshot: int) -> list[BlockState]:
    name = table.name
    after = known.snapshot if known else 0
    before = known.blocks(name) if known else []
    try:
        blocks = extend(before, commits_of(lake, table, after_snapshot=after, upto_snapshot=snapshot))
    except duckdb.Error as error:
        raise unreadable_error(f"events.{name}", error) from None
    return [BlockState(**asdict(block)) for block in blocks]


def unreadable_error(where: str, error: Exception) -> LogError:
    """Return the error for a table or data file that cannot be read."""
    first = (str(error).splitlines() or [""])[0]
    return LogError(
        f"a data file cannot be read: {first}", where=where,
        todo="restore it from a backup; `trueup verify` lists the damage",
    )  # fmt: skip


def _read_next_file_id(lake: Lake, snapshot: int) -> int:
    query = "SELECT next_file_id FROM __ducklake_metadata_lake.ducklake_snapshot WHERE snapshot_id = ?"
    row = lake.connection.execute(query, [snapshot]).fetchone()
    assert row is not None
    return int(row[0])


def _hash_new_files(lake: Lake, known: Statement | None, snapshot: int) -> list[DataFile]:
    # A merge writes rows that an earlier anchor covers into new files; these count as new files nevertheless.
    files = []
    for path in data_files(lake, snapshot, first_file_id=known.next_file_id if known else 0):
        try:
            size, sha256 = hash_file(lake, path)
        except (OSError, duckdb.Error) as error:
            raise unreadable_error(path, error) from None
        files.append(DataFile(path=path, size_bytes=size, sha256=sha256))
    return files


def row_counts(lake: Lake, snapshot: int) -> dict[str, int]:
    """Return the number of rows up to a snapshot, by table."""
    counts = {}
    for name in tables_of(lake):
        query = f"SELECT count(*) FROM lake.events.{name} WHERE snapshot_id <= ?"
        row = lake.connection.execute(query, [snapshot]).fetchone()
        assert row is not None
        counts[name] = int(row[0])
    return counts
