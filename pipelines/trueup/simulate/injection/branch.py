"""Write a scratch branch of a log: a lake of its own with the same commits at the same positions, and some events changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from trueup.collect.commit.chain import CONTROL, frame_of, link_to_chain
from trueup.collect.discover.units import find_files
from trueup.config import FILE_NAME, LakeConfig, Project, parse
from trueup.errors import ConfigError, LogError
from trueup.log.lake import Lake, Transaction
from trueup.secret import Place

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_LOCATION_LINE = re.compile(r"\s*(catalog|data)\s*=")


@dataclass(frozen=True)
class Changes:
    """The differences between a branch and its original.

    `removed` holds the event_id of removed charges. `added` holds complete events with their `position`, by stream. The `source_id`
    of each event is the id of a source unit that has a control row at that position.
    """

    removed: pl.DataFrame
    added: dict[str, pl.DataFrame]


def branch_text(text: str, *, where: str) -> str:
    """Return the `trueup.toml` of a branch: the original's, with a lake in the branch's own folder.

    Raises `ConfigError` where the location of the lake cannot be removed line by line.
    """
    table, lines = "", []
    for line in text.splitlines():
        header = _HEADER.match(line)
        table = header[1] if header else table
        if not (table == "lake" and _LOCATION_LINE.match(line)):
            lines.append(line)
    changed = "\n".join(lines) + "\n"
    original = parse(text, where=where)
    locations = {name: _remove_location(name) for name in ("catalog", "data")}
    expected = original.model_copy(update={"lake": original.lake.model_copy(update=locations)})
    if parse(changed, where=where) != expected:
        raise ConfigError("the location of the lake cannot be changed for a branch", where=where,
                          todo="write catalog and data on lines of their own under [lake]")  # fmt: skip
    return f"# A branch: the same log with leaks injected. The original lake is elsewhere and is never changed.\n{changed}"


def _remove_location(name: str) -> Place:
    place: Place = LakeConfig.model_fields[name].default
    return place


def replay(original: Lake, directory: Path, text: str, changes: Changes, *, on_commit: Callable[[int, int], None]) -> None:
    """Write the branch's lake: each commit of `original` at its own position and time, with its changes.

    Calls `on_commit(done, of)` after each commit. Raises `LogError` when the new lake refuses a commit.
    """
    project = Project(directory.resolve(), parse(text))
    Lake.create(project)
    rows = original.read("position", columns=["position AS number", "kind", "committed_at"]).sort("number")
    controls = original.read("control")
    chains: dict[str, tuple[int, str]] = {}
    times: list[datetime] = [rows["committed_at"][0]] if rows.height else []
    # The original log already accepted its times, so the branch does not check them against the clock again.
    with Lake.open(project, clock=lambda: times[-1], checks_clock=False) as lake:
        configurations = original.connection.execute("SELECT * FROM lake.events.configuration").pl()
        lake.commit(lambda transaction: transaction.append("configuration", configurations))
        for position, kind, committed_at in rows.select("number", "kind", "committed_at").iter_rows():
            times.append(committed_at)
            controls_here = controls.filter(pl.col("position") == position).drop("position")
            tables = _read_tables(original, position, controls_here, changes)
            control = _rechain_controls(controls_here, tables, chains)
            lake.commit(partial(_write_commit, tables=tables, control=control, position=position, kind=kind))
            on_commit(position, rows.height)


def _write_commit(
    transaction: Transaction, tables: dict[str, pl.DataFrame], control: list[dict[str, Any]], position: int, kind: str
) -> None:
    for name, frame in tables.items():
        transaction.append(name, frame)
    for row in control:
        transaction.append("control", frame_of(row))
    if transaction.next_position(kind) != position:
        raise LogError(f"the original log has no position before {position}", todo="run `trueup status --check` on the original")


def _read_tables(original: Lake, position: int, controls: pl.DataFrame, changes: Changes) -> dict[str, pl.DataFrame]:
    """Return the branch's rows of one position, by table; its control rows name the streams that it may hold."""
    streams = [*controls["stream"].unique(), *(["quarantine"] if controls["quarantined"].sum() else [])]
    further = ["recycling"] if controls["recycles"].is_not_null().any() else []
    further += ["moved"] if controls["moved"].is_not_null().any() else []
    names = [*streams, *further] if controls.height else ["declaration"]
    tables = {name: original.read(name, after=position - 1, upto=position).drop("position") for name in names}
    for stream in set(controls["stream"]) & changes.added.keys():
        new = changes.added[stream].filter(pl.col("position") == position).drop("position")
        retained = tables[stream].join(changes.removed, on="event_id", how="anti", maintain_order="left")
        # An injected record lacks the columns that collection looks up, such as the record that a charge corrects.
        tables[stream] = pl.concat([retained, new], how="diagonal_relaxed").select(retained.columns)
    return tables


def _rechain_controls(
    controls: pl.DataFrame, tables: dict[str, pl.DataFrame], chains: dict[str, tuple[int, str]]
) -> list[dict[str, Any]]:
    """Return the control rows of a position with the branch's accepted counts, linked to a new hash chain.

    The times of the control rows stay, so the streams of branch and original are complete at the same times.
    """
    linked_rows = []
    rows = controls.sort("source", "sequence_no").with_columns(pl.col(pl.Datetime).dt.epoch("us"))
    for row in rows.select(list(CONTROL)).iter_rows(named=True):
        accepted = int((tables[row["stream"]]["source_id"] == row["source_id"]).sum())
        added = accepted - row["accepted"]
        declared = None if row["declared_records"] is None else row["declared_records"] + added
        changed = {**row, "accepted": accepted, "records": row["records"] + added, "declared_records": declared}
        linked = link_to_chain(changed, chains.get(row["source"]))
        chains[row["source"]] = (row["sequence_no"], str(linked["hash"]))
        linked_rows.append(linked)
    return linked_rows


def write_config(directory: Path, text: str) -> None:
    """Create the landing folders, which are empty, and write `trueup.toml` last: its presence marks the branch as complete."""
    project = Project(directory, parse(text, where=FILE_NAME))
    for source in project.config.source:
        for folder in find_files(project, source).missing:
            if folder.is_relative_to(directory):
                folder.mkdir(parents=True, exist_ok=True)
    with (directory / FILE_NAME).open("x", encoding="utf-8") as file:
        file.write(text)
