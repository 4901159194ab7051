"""Anchoring: states the head of the log, signs the statement and writes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import ConfigError, LogError
from trueup.log.lake import Lake
from trueup.proof.anchors import compare
from trueup.proof.anchors.destination import Destination, arguments_of, read_newest, send
from trueup.proof.anchors.head import identity, row_counts, state_head, unreadable_error
from trueup.proof.anchors.keys import PublicKeys, SigningKey, read_private_key, read_public_keys
from trueup.proof.anchors.rows import bounded_memory
from trueup.proof.anchors.statement import Anchor, AnchorError
from trueup.units import MICROS
from trueup.warehouse.query import Warehouse, is_transient, with_retries


@dataclass(frozen=True)
class AnchorResult:
    """Result of anchoring.

    Parameters
    ----------
    name:
        The name of the anchor that states the head of the log.
    path:
        Its file.
    sent_to:
        The program that received it, if any.
    is_new:
        False where the newest anchor already states this head: nothing was written or sent.
    position, snapshot, rows, files, sequence_no:
        The head, the number of rows it covers, the number of hashed data files, and its ordinal among the lake's anchors.
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
    """Destination and signing key of an anchor; a field that is None comes from `[anchor]` of trueup.toml.

    `recompute` reads all rows and files again and compares them with the previous anchor, instead of reading only newer ones.
    """

    key: Path | None = None
    to: Path | None = None
    to_command: str | None = None
    recompute: bool = False


def anchor(project: Project, request: Request, *, clock: Clock = system_clock) -> AnchorResult:
    """State the head of the log, sign the statement and write it.

    The anchor continues the newest one in its folder: rows that it covers are not read again. The command, if any, receives the
    anchor before it is written to the folder, so the next call repeats a failed command.

    Raises `ConfigError` for an unusable key, and `LogError` where the lake contradicts the previous anchor or cannot be read.
    Raises `TrueupError` where the anchor cannot be written or the command fails.
    """
    config = project.config.anchor
    key = read_private_key(_find_key_path(project, request))
    destination = Destination.of(request.to or project.resolve(config.to))
    command = request.to_command or config.to_command
    if command is not None:
        arguments_of(command)
    with destination.lock():
        previous = _read_previous(destination, key.public() | configured_keys(project))

        def state(warehouse: Warehouse) -> Anchor:
            try:
                return _sign_state(warehouse.lake, key, previous, request, clock())
            except duckdb.Error as error:
                if is_transient(error):
                    raise
                raise unreadable_error(str(project.directory), error) from None

        new = with_retries(project, state)
        if previous is not None and _is_same_head(new, previous) and destination.file is None:
            return _build_result(previous, destination.newest() or destination.folder, None, is_new=False)
        if command is not None:
            send(new, command, timeout_s=config.timeout / MICROS)
        path = destination.write(new)
    return _build_result(new, path, None if command is None else arguments_of(command)[0], is_new=True)


def configured_keys(project: Project) -> PublicKeys:
    """Return the public keys of `[anchor] public_keys`, and that of `[anchor] key` if its file exists."""
    config = project.config.anchor
    paths = [project.resolve(path) for path in config.public_keys]
    if config.key is not None:
        key = project.resolve(config.key)
        public_key = key.with_name(f"{key.name}.pub")
        paths += [public_key] if public_key.exists() else []
    return read_public_keys(paths)


def trusted_keys(project: Project, paths: list[Path]) -> PublicKeys:
    """Return the public keys at `paths`, else those of the configuration; raise `ConfigError` without any."""
    keys = read_public_keys(paths) if paths else configured_keys(project)
    if not keys.by_fingerprint:
        raise ConfigError(
            "there is no public key to check anchors with", where="[anchor]", todo="name one with --public-key or public_keys"
        )
    return keys


def _find_key_path(project: Project, request: Request) -> Path:
    if request.key is not None:
        return request.key
    if project.config.anchor.key is None:
        raise ConfigError(
            "there is no key to sign anchors with", where="[anchor] key", todo="name it there or with --key; --new-key creates one"
        )
    return project.resolve(project.config.anchor.key)


def _read_previous(destination: Destination, keys: PublicKeys) -> Anchor | None:
    newest = destination.newest()
    if newest is None:
        return None
    try:
        previous = read_newest(destination)
        assert previous is not None
        keys.check(previous, where=str(newest))
    except AnchorError as error:
        raise AnchorError(
            f"the previous anchor cannot be trusted: {error.what}", where=str(newest),
            todo="list its key in [anchor] public_keys, or see why by `trueup verify --anchor`",
        ) from None  # fmt: skip
    return previous


def _sign_state(lake: Lake, key: SigningKey, previous: Anchor | None, request: Request, made_at: datetime) -> Anchor:
    with bounded_memory(lake):
        if previous is not None:
            _refuse_contradiction(lake, previous, recompute=request.recompute)
        extends = previous is not None and not request.recompute
        return key.sign(state_head(lake, key=key.fingerprint, made_at=made_at, previous=previous, extends=extends))


def _refuse_contradiction(lake: Lake, previous: Anchor, *, recompute: bool) -> None:
    """Raise `LogError` where the lake is not that of the previous anchor, or contradicts it.

    Positions, chains and numbers of rows are compared; with `recompute`, the rows themselves are compared too.
    """
    name, state = previous.name, previous.statement
    if state.lake != identity(lake):
        raise LogError(
            "the anchors in this folder are of another lake", where=name, todo="give each lake its own folder"
        )  # fmt: skip
    anchors = [compare.SignedAnchor(name, previous)]
    differences = compare.differences(lake, anchors) if recompute else compare.heads(lake, anchors)
    counts = row_counts(lake, state.snapshot)
    wrong = [f"{difference.where}: {difference.detail}" for difference in differences]
    wrong += [f"{t}: {state.rows(t)} rows then, {n} now" for t, n in counts.items() if n != state.rows(t)]
    if wrong:
        raise LogError(
            f"the lake contradicts its newest anchor and is not anchored: {wrong[0]}", where=name,
            todo="run `trueup verify --anchor` to see all differences",
        )  # fmt: skip


def _is_same_head(new: Anchor, previous: Anchor) -> bool:
    """Return whether nothing changed since the previous anchor: no row was added, and no merge wrote a data file."""
    state, old = new.statement, previous.statement
    return (state.position, state.chains, state.tables, state.digests) == (
        old.position, old.chains, old.tables, old.digests,
    ) and state.next_file_id == old.next_file_id  # fmt: skip


def _build_result(new: Anchor, path: Path, sent_to: str | None, *, is_new: bool) -> AnchorResult:
    state = new.statement
    rows = sum(state.rows(table) for table in state.tables)
    return AnchorResult(
        new.name, str(path), sent_to, is_new, state.position, state.snapshot, rows, len(state.files), state.sequence_no
    )
