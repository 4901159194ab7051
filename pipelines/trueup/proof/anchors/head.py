"""The head of the log as a statement: position, chains, digests, the digests of all commits, and data files."""

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

_CHUNK_BYTES = 1 << 20


def state_head(lake: Lake, *, key: str, made_at: datetime, previous: Anchor | None, extends: bool) -> Statement:
    """States the head of the log.

    Parameters
    ----------
    key:
        The fingerprint of the key that will sign.
    previous:
        The anchor before, whose sequence the statement continues.
    extends:
        Whether commits and files that the anchor before covers are taken from it; else all are read again.
    """
    before = previous.statement if previous else None
    snapshot = current_snapshot(lake)
    position, position_snapshot, reconciled = _positions(lake, snapshot)
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
        tables={name: _blocks(lake, table, known, snapshot) for name, table in tables_of(lake).items()},
        files=_new_files(lake, known, snapshot),
        has_all_files=known is None,
        next_file_id=_next_file_id(lake, snapshot),
    )


def identity(lake: Lake) -> str:
    """The identity that the lake's schema `events` got when it was made; moving the lake keeps it."""
    query = (
        "SELECT schema_uuid::VARCHAR FROM __ducklake_metadata_lake.ducklake_schema "
        "WHERE schema_name = 'events' AND end_snapshot IS NULL"
    )
    found = lake.connection.execute(query).fetchone()
    if found is None:
        raise LogError("the catalog holds no event log", where=str(lake.project.directory))
    return str(found[0])


def current_snapshot(lake: Lake) -> int:
    """The newest snapshot of the lake."""
    found = lake.connection.execute("SELECT max(snapshot_id) FROM __ducklake_metadata_lake.ducklake_snapshot").fetchone()
    assert found is not None
    return int(found[0])


def chain_heads(lake: Lake, snapshot: int) -> dict[str, ChainHead]:
    """By source, the last control row up to a snapshot."""
    rows = lake.connection.execute(statement("chain_heads"), {"snapshot": snapshot}).fetchall()
    return {source: ChainHead(sequence_no=number, hash=value) for source, number, value in rows}


def digests_as_of(lake: Lake, *, snapshot: int, position: int, reconciled_position: int) -> Digests:
    """The digests of what was stored at a snapshot: findings up to the reconciled position, scores up to the position."""
    values = {"snapshot": snapshot, "position": reconciled_position}
    history = lake.connection.execute(statement("finding_history"), values).pl()
    scores = lake.connection.execute(statement("scores"), {"snapshot": snapshot, "position": position}).pl()
    found = findings_digests(history)
    return Digests(state=found["state"], history=found["history"], scores=score_digest(scores) if scores.height else None)


def data_files(lake: Lake, snapshot: int, *, first_file_id: int = 0) -> list[str]:
    """The data files of all tables as of a snapshot, from an ordinal of DuckLake's on; paths below the lake's data."""
    values = {"snapshot": snapshot, "first_file_id": first_file_id}
    rows = lake.connection.execute(statement("data_files"), values).fetchall()
    return [str(path) for path, _ in rows]


def hash_file(lake: Lake, path: str) -> tuple[int, str]:
    """The size in bytes and the SHA-256 of a data file; raises `OSError` or `duckdb.Error` where it cannot be read."""
    folder = data_path(lake.project)
    if "://" not in folder:
        return _hash_local(Path(folder) / path)
    # An object store: DuckDB has its access. A file of the lake is at most some hundred MB.
    found = lake.connection.execute("SELECT size, sha256(content) FROM read_blob($1)", [folder + path]).fetchone()
    if found is None:
        raise FileNotFoundError(path)
    return int(found[0]), str(found[1])


def _hash_local(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _positions(lake: Lake, snapshot: int) -> tuple[int, int, int]:
    """The newest position, the snapshot that brought it, and the reconciled position, at a snapshot."""
    found = lake.connection.execute(statement("head"), {"snapshot": snapshot}).fetchone()
    assert found is not None
    position, position_snapshot, reconciled = found
    return int(position), int(position_snapshot), int(reconciled)


def _blocks(lake: Lake, table: Table, known: Statement | None, snapshot: int) -> list[BlockState]:
    name = table.name
    after = known.snapshot if known else 0
    before = known.blocks(name) if known else []
    try:
        blocks = extend(before, commits_of(lake, table, after_snapshot=after, upto_snapshot=snapshot))
    except duckdb.Error as error:
        raise unreadable(f"events.{name}", error) from None
    return [BlockState(**asdict(block)) for block in blocks]


def unreadable(where: str, error: Exception) -> LogError:
    """The error for a table or data file that cannot be read."""
    first = (str(error).splitlines() or [""])[0]
    return LogError(
        f"a data file cannot be read: {first}", where=where,
        todo="restore it from a backup; `trueup verify` lists what is damaged",
    )  # fmt: skip


def _next_file_id(lake: Lake, snapshot: int) -> int:
    query = "SELECT next_file_id FROM __ducklake_metadata_lake.ducklake_snapshot WHERE snapshot_id = ?"
    found = lake.connection.execute(query, [snapshot]).fetchone()
    assert found is not None
    return int(found[0])


def _new_files(lake: Lake, known: Statement | None, snapshot: int) -> list[DataFile]:
    # A merge makes new files of rows that an anchor before covers: they are new files all the same.
    found = []
    for path in data_files(lake, snapshot, first_file_id=known.next_file_id if known else 0):
        try:
            size, sha256 = hash_file(lake, path)
        except (OSError, duckdb.Error) as error:
            raise unreadable(path, error) from None
        found.append(DataFile(path=path, size_bytes=size, sha256=sha256))
    return found


def row_counts(lake: Lake, snapshot: int) -> dict[str, int]:
    """By table, how many rows came up to a snapshot."""
    counts = {}
    for name in tables_of(lake):
        query = f"SELECT count(*) FROM lake.events.{name} WHERE snapshot_id <= ?"
        found = lake.connection.execute(query, [snapshot]).fetchone()
        assert found is not None
        counts[name] = int(found[0])
    return counts
