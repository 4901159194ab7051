"""Ticks: declarations of the clock. A wrong one is superseded by a later declaration, never removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import ClockError, LogError
from trueup.log.lake import CLOCK, Lake, Transaction

TICK = "tick"
SUPERSEDES = "supersedes"
"""Key in the content of a `clock` declaration: the position of the tick that is void from the declaration on."""


@dataclass(frozen=True)
class ClockDeclaration:
    """A declaration that the clock is right: its position, the declared time, and the tick that it supersedes, if any."""

    position: int
    through: datetime
    supersedes: int | None


def superseded_ticks(declarations: pl.DataFrame) -> dict[int, frozenset[int]]:
    """Return the positions of superseded ticks, by the position that supersedes them.

    `declarations` has the columns `position`, `kind` and `content` of `events.declaration`.
    """
    rows = declarations.filter((pl.col("kind") == CLOCK) & pl.col("content").is_not_null())
    return {at: frozenset({int(json.loads(content)[SUPERSEDES])}) for at, content in rows.select("position", "content").iter_rows()}


def read_ticks(lake: Lake) -> pl.DataFrame:
    """Return all ticks, newest first: `position`, `through` (the declared time) and `superseded_at` (NULL while in force)."""
    rows = lake.read("declaration", columns=["kind", "through", "content"])
    void = [(tick, at) for at, of in superseded_ticks(rows).items() for tick in of]
    superseded = pl.DataFrame(void, schema={"position": pl.Int64, "superseded_at": pl.Int64}, orient="row")
    all_ticks = rows.filter(pl.col("kind") == TICK).select("position", "through")
    return all_ticks.join(superseded, on="position", how="left").sort("position", descending=True)


def supersede(project: Project, positions: Sequence[int], *, clock: Clock = system_clock) -> list[ClockDeclaration]:
    """Declare ticks void from now on, each by its own declaration; the clock counts as right from there on.

    Raises `LogError` for a position that the log lacks, that is not a tick, or that is superseded already; then nothing is
    declared.
    """
    with Lake.open(project, clock=clock) as lake:
        for position in positions:
            _check_tick(lake, position)
        return [_declare_tick(lake, position) for position in dict.fromkeys(positions)]


def accept_clock(project: Project, *, clock: Clock = system_clock, may_be_behind: bool = False) -> ClockDeclaration | None:
    """Declare that the clock is right where commits would be refused; return None where they would not, or without a lake.

    A clock behind the newest commit is accepted only with `may_be_behind`; otherwise `ClockError` is raised.
    """
    if not Lake.exists(project):
        return None
    with Lake.open(project, clock=clock) as lake:
        newest, now = lake.newest_commit(), clock()
        try:
            lake.check_clock(now, newest)
        except ClockError:
            assert newest.committed_at is not None
            if now < newest.committed_at and not may_be_behind:
                raise
            return _declare_tick(lake, None)
        return None


def check_clock(project: Project, *, clock: Clock = system_clock) -> None:
    """Raise `ClockError` where a commit would be refused now; without a lake there is none to refuse."""
    if Lake.exists(project):
        with Lake.open(project, clock=clock, threads=1) as lake:
            lake.check_clock(clock())


def declare_idle(lake: Lake) -> int | None:
    """Declare the clock where no commit was made for half of the longest jump; return the position, else None.

    A daily run without new files for a week thereby keeps the log's time current, and never needs --accept-clock. Raises
    `ClockError` for a wrong clock.
    """
    newest, now = lake.newest_commit(), lake.clock()
    lake.check_clock(now, newest)
    longest = timedelta(microseconds=lake.project.config.project.max_clock_jump)
    if newest.committed_at is None or now - newest.committed_at < longest / 2:
        return None
    return _declare_tick(lake, None).position


def _declare_tick(lake: Lake, supersedes: int | None) -> ClockDeclaration:
    now = lake.clock()
    content = None if supersedes is None else {SUPERSEDES: supersedes}

    def write(transaction: Transaction) -> int:
        if supersedes is not None:
            # Check again under the lock: another process may have superseded it.
            _check_tick(lake, supersedes)
        return transaction.declare(CLOCK, through=now, content=content)

    return ClockDeclaration(lake.commit(write), now, supersedes)


def _check_tick(lake: Lake, position: int) -> None:
    where, list_them = str(lake.project.directory), "`trueup clock` lists the ticks"
    newest = lake.last_position()
    if not 1 <= position <= newest:
        raise LogError(f"there is no position {position}; the newest is {newest}", where=where, todo=list_them)
    rows = lake.read("position", columns=["position AS number", "kind"], after=position - 1, upto=position)
    kind = rows["kind"][0]
    if kind != TICK:
        raise LogError(f"position {position} is not a tick; its kind is {kind}", where=where, todo=list_them)
    for at, void in superseded_ticks(lake.read("declaration", columns=["kind", "content"])).items():
        if position in void:
            raise LogError(f"the tick of position {position} is superseded already, by position {at}", where=where, todo=list_them)
