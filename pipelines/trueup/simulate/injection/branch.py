"""A scratch branch of a log: the same commits at the same positions in a lake of its own, some of their events changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from trueup.collect.commit.chain import CONTROL, chained, frame_of
from trueup.config import FILE_NAME, LakeConfig, Project, parse
from trueup.errors import ConfigError, LogError
from trueup.log.lake import Lake, Transaction
from trueup.secret import Place

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_PLACE = re.compile(r"\s*(catalog|data)\s*=")


@dataclass(frozen=True)
class Changes:
    """What is different in a branch.

    `removed`: event_id of charges that are left out. `added`: by stream, whole events with the `position` they come at; their
    `source_id` is that of a unit with a control row at this position.
    """

    removed: pl.DataFrame
    added: dict[str, pl.DataFrame]


def branch_text(text: str, *, where: str) -> str:
    """The `trueup.toml` of a branch: the same, but for a lake in the branch's own folder.

    Raises `ConfigError` where the place of the lake is written in a way that cannot be taken out line by line.
    """
    table, kept = "", []
    for line in text.splitlines():
        header = _HEADER.match(line)
        table = header[1] if header else table
        if not (table == "lake" and _PLACE.match(line)):
            kept.append(line)
    changed = "\n".join(kept) + "\n"
    wanted = parse(text, where=where)
    own = wanted.model_copy(update={"lake": wanted.lake.model_copy(update={n: _own_place(n) for n in ("catalog", "data")})})
    if parse(changed, where=where) != own:
        raise ConfigError("the place of the lake cannot be changed for a branch", where=where,
                          todo="write catalog and data on lines of their own under [lake]")  # fmt: skip
    return (
        f"# A scratch branch: the same log with leaks injected. The original's lake is elsewhere, and is never touched.\n{changed}"
    )


def _own_place(name: str) -> Place:
    place: Place = LakeConfig.model_fields[name].default
    return place


def replay(original: Lake, directory: Path, text: str, changes: Changes, *, on_commit: Callable[[int, int], None]) -> None:
    """Writes the branch's lake: each commit of `original` at its own position and time, with its changes.

    `on_commit(done, of)` is called after each. Raises `LogError` when the new lake cannot take them.
    """
    project = Project(directory.resolve(), parse(text))
    Lake.create(project)
    rows = original.read("position", columns=["position AS number", "kind", "committed_at"]).sort("number")
    controls = original.read("control")
    chains: dict[str, tuple[int, str]] = {}
    times: list[datetime] = [rows["committed_at"][0]] if rows.height else []
    # The times are the original's, and so is what it accepted of them.
    with Lake.open(project, clock=lambda: times[-1], checks_clock=False) as lake:
        configurations = original.connection.execute("SELECT * FROM lake.events.configuration").pl()
        lake.commit(lambda transaction: transaction.append("configuration", configurations))
        for position, kind, committed_at in rows.select("number", "kind", "committed_at").iter_rows():
            times.append(committed_at)
            told = controls.filter(pl.col("position") == position).drop("position")
            tables = _tables(original, position, told, changes)
            control = _control(told, tables, chains)
            lake.commit(partial(_write, tables=tables, control=control, position=position, kind=kind))
            on_commit(position, rows.height)


def _write(
    transaction: Transaction, tables: dict[str, pl.DataFrame], control: list[dict[str, Any]], position: int, kind: str
) -> None:
    for name, frame in tables.items():
        transaction.append(name, frame)
    for row in control:
        transaction.append("control", frame_of(row))
    if transaction.next_position(kind) != position:
        raise LogError(f"the original log has no position before {position}", todo="run `trueup status --check` on the original")


def _tables(original: Lake, position: int, told: pl.DataFrame, changes: Changes) -> dict[str, pl.DataFrame]:
    """The rows of a position as they shall be in the branch; `told` are its control rows, which say what it may have brought."""
    brought = [*told["stream"].unique(), *(["quarantine"] if told["quarantined"].sum() else [])]
    wanted = brought if told.height else ["declaration"]
    tables = {name: original.read(name, after=position - 1, upto=position).drop("position") for name in wanted}
    for stream in set(told["stream"]) & changes.added.keys():
        new = changes.added[stream].filter(pl.col("position") == position).drop("position")
        kept = tables[stream].join(changes.removed, on="event_id", how="anti", maintain_order="left")
        tables[stream] = pl.concat([kept, new.select(kept.columns)], how="vertical_relaxed")
    return tables


def _control(told: pl.DataFrame, tables: dict[str, pl.DataFrame], chains: dict[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """The control rows of a position with what is accepted there now, chained anew.

    What they tell of times stays as it was: the branch's streams are complete exactly when the original's are.
    """
    made = []
    rows = told.sort("source", "sequence_no").with_columns(pl.col(pl.Datetime).dt.epoch("us"))
    for row in rows.select(list(CONTROL)).iter_rows(named=True):
        accepted = int((tables[row["stream"]]["source_id"] == row["source_id"]).sum())
        more = accepted - row["accepted"]
        declared = None if row["declared_records"] is None else row["declared_records"] + more
        changed = {**row, "accepted": accepted, "records": row["records"] + more, "declared_records": declared}
        linked = chained(changed, chains.get(row["source"]))
        chains[row["source"]] = (row["sequence_no"], str(linked["hash"]))
        made.append(linked)
    return made


def write_config(directory: Path, text: str) -> None:
    """Writes the branch's `trueup.toml`, last of all: its being there says that the branch is whole."""
    with (directory / FILE_NAME).open("x", encoding="utf-8") as file:
        file.write(text)
