"""One anchor: the head of the log stated, signed and written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from trueup.clock import Clock, system_clock
from trueup.config import MICROS, Project
from trueup.errors import ConfigError, LogError
from trueup.log.lake import Lake
from trueup.proof.anchors import compare
from trueup.proof.anchors.destination import Destination, arguments_of, read_newest, send
from trueup.proof.anchors.head import identity, row_counts, state_head, unreadable
from trueup.proof.anchors.keys import PublicKeys, SigningKey, read_private_key, read_public_keys
from trueup.proof.anchors.rows import bounded_memory
from trueup.proof.anchors.statement import Anchor, AnchorError
from trueup.warehouse.query import Warehouse, is_transient, with_retries


@dataclass(frozen=True)
class Anchored:
    """What was anchored.

    Parameters
    ----------
    name:
        The name of the anchor that states the head of the log.
    path:
        Its file.
    sent_to:
        The program it was handed to, if any.
    is_new:
        False where the newest anchor states this head already: nothing was written or sent.
    position, snapshot, rows, files, sequence_no:
        The head, how many rows it covers, how many data files were hashed for it, and its ordinal among the lake's anchors.
    """

    name: str
    path: str
    sent_to: str | None
    is_new: bool
    position: int
    snapshot: int
    rows: int
    files: int
    sequence_no: int


@dataclass(frozen=True)
class Request:
    """Where an anchor goes and which key signs it; what is None comes from `[anchor]` of trueup.toml.

    `recompute` reads all rows and files again and compares them with the anchor before, instead of reading what is newer.
    """

    key: Path | None = None
    to: Path | None = None
    to_command: str | None = None
    recompute: bool = False


def anchor(project: Project, request: Request, *, clock: Clock = system_clock) -> Anchored:
    """States the head of the log, signs the statement and writes it.

    The anchor goes on from the newest one in its folder: what that covers is not read again. The command, if any, gets the
    anchor before the folder does, so that one that failed is made again the next time.

    Raises `ConfigError` for a key that cannot be used, `LogError` where the lake contradicts the anchor before or cannot be read,
    `TrueupError` where the anchor cannot be written or the command fails.
    """
    config = project.config.anchor
    key = read_private_key(_key_path(project, request))
    destination = Destination.of(request.to or project.resolve(config.to))
    command = request.to_command or config.to_command
    if command is not None:
        arguments_of(command)
    with destination.lock():
        previous = _previous(destination, key.public() | configured_keys(project))

        def state(warehouse: Warehouse) -> Anchor:
            try:
                return _state(warehouse.lake, key, previous, request, clock())
            except duckdb.Error as error:
                if is_transient(error):
                    raise
                raise unreadable(str(project.directory), error) from None

        made = with_retries(project, state)
        if previous is not None and _states_the_same(made, previous) and destination.file is None:
            return _anchored(previous, destination.newest() or destination.folder, None, is_new=False)
        if command is not None:
            send(made, command, timeout_s=config.timeout / MICROS)
        path = destination.write(made)
    return _anchored(made, path, None if command is None else arguments_of(command)[0], is_new=True)


def configured_keys(project: Project) -> PublicKeys:
    """The public keys of `[anchor] public_keys`, and the one beside `[anchor] key` where it exists."""
    config = project.config.anchor
    paths = [project.resolve(path) for path in config.public_keys]
    if config.key is not None:
        key = project.resolve(config.key)
        beside = key.with_name(f"{key.name}.pub")
        paths += [beside] if beside.exists() else []
    return read_public_keys(paths)


def trusted_keys(project: Project, paths: list[Path]) -> PublicKeys:
    """The public keys at `paths`, else those of the configuration; raises `ConfigError` where there is none."""
    keys = read_public_keys(paths) if paths else configured_keys(project)
    if not keys.by_fingerprint:
        raise ConfigError(
            "no public key is known to check anchors with", where="[anchor]", todo="name one with --public-key or public_keys"
        )
    return keys


def _key_path(project: Project, request: Request) -> Path:
    if request.key is not None:
        return request.key
    if project.config.anchor.key is None:
        raise ConfigError(
            "no key is named that signs anchors", where="[anchor] key", todo="name it there or with --key; --new-key makes one"
        )
    return project.resolve(project.config.anchor.key)


def _previous(destination: Destination, keys: PublicKeys) -> Anchor | None:
    newest = destination.newest()
    if newest is None:
        return None
    try:
        found = read_newest(destination)
        assert found is not None
        keys.check(found, where=str(newest))
    except AnchorError as error:
        raise AnchorError(
            f"the anchor before this one cannot be trusted: {error.what}", where=str(newest),
            todo="list its key in [anchor] public_keys, or look with `trueup verify --anchor`",
        ) from None  # fmt: skip
    return found


def _state(lake: Lake, key: SigningKey, previous: Anchor | None, request: Request, made_at: datetime) -> Anchor:
    with bounded_memory(lake):
        if previous is not None:
            _refuse_contradiction(lake, previous, recompute=request.recompute)
        extends = previous is not None and not request.recompute
        return key.sign(state_head(lake, key=key.fingerprint, made_at=made_at, previous=previous, extends=extends))


def _refuse_contradiction(lake: Lake, previous: Anchor, *, recompute: bool) -> None:
    """Raises `LogError` where the lake is not that of the anchor before, or has lost what it states.

    Positions, chains and numbers of rows are compared; the rows themselves where all is read again.
    """
    name, state = previous.name, previous.statement
    if state.lake != identity(lake):
        raise LogError(
            "the anchors in this folder are of another lake", where=name, todo="give each lake a folder of its own"
        )  # fmt: skip
    loaded = [compare.Loaded(name, previous)]
    found = compare.differences(lake, loaded) if recompute else compare.heads(lake, loaded)
    counts = row_counts(lake, state.snapshot)
    wrong = [f"{difference.where}: {difference.detail}" for difference in found]
    wrong += [f"{t}: {state.rows(t)} rows then, {n} now" for t, n in counts.items() if n != state.rows(t)]
    if wrong:
        raise LogError(
            f"the lake contradicts its newest anchor and is not anchored: {wrong[0]}", where=name,
            todo="run `trueup verify --anchor` to see all that differs",
        )  # fmt: skip


def _states_the_same(made: Anchor, previous: Anchor) -> bool:
    """Whether nothing is new since the anchor before: no row, and no data file that a merge made."""
    new, old = made.statement, previous.statement
    return (new.position, new.chains, new.tables, new.digests, new.key) == (
        old.position, old.chains, old.tables, old.digests, old.key,
    ) and new.next_file_id == old.next_file_id  # fmt: skip


def _anchored(made: Anchor, path: Path, sent_to: str | None, *, is_new: bool) -> Anchored:
    state = made.statement
    rows = sum(state.rows(table) for table in state.tables)
    return Anchored(
        made.name, str(path), sent_to, is_new, state.position, state.snapshot, rows, len(state.files), state.sequence_no
    )
