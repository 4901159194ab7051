"""The log compared with the statements of anchors: positions, hash chains, digests, and the rows of all commits."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from trueup.log.lake import Lake, data_path
from trueup.proof.anchors.blocks import Block, block_of
from trueup.proof.anchors.head import current_snapshot, digests_as_of
from trueup.proof.anchors.rows import Table, bound_memory, commits_of, statement, tables_of
from trueup.proof.anchors.statement import Anchor, ChainHead, Digests, Statement
from trueup.warehouse.query import is_transient

_SHOWN = 3
"""So many files or units are named in one fault."""

_DIGESTED = ("finding", "score", "consumer")
"""The tables that digests are made of."""


@dataclass(frozen=True)
class Loaded:
    """An anchor whose signature holds, with the name of its file."""

    name: str
    anchor: Anchor
    is_from_folder: bool = False

    @property
    def statement(self) -> Statement:
        """What it states."""
        return self.anchor.statement

    @property
    def order(self) -> tuple[int, int, int]:
        """Its place among the anchors of a lake."""
        return self.statement.position, self.statement.snapshot, self.statement.sequence_no


@dataclass(frozen=True)
class Difference:
    """Something that the log holds otherwise than anchors state; `disagreeing` are their indexes, ascending."""

    where: str
    detail: str
    disagreeing: tuple[int, ...]


@dataclass(frozen=True)
class _Span:
    """Commits in (low, high] that one anchor covers by one block, and which the log holds otherwise."""

    table: str
    low: int
    high: int
    rows: int
    anchor: int


def differences(lake: Lake, anchors: Sequence[Loaded]) -> list[Difference]:
    """All differences between the log and anchors of this lake, which are in their order."""
    log = _Log(lake, max(anchor.statement.snapshot for anchor in anchors))
    rows = list(_rows(log, anchors))
    return [
        *_positions(log, anchors),
        *_chains(log, anchors),
        *rows,
        *_digests(log, anchors, {d.disagreeing[0] for d in rows if d.where.split(",")[0] in _DIGESTED}),
        *(Difference(table, detail, tuple(range(len(anchors)))) for table, detail in log.unreadable.items()),
    ]


def heads(lake: Lake, anchors: Sequence[Loaded]) -> list[Difference]:
    """The differences in positions and hash chains alone, which take no look at other rows."""
    log = _Log(lake, max(anchor.statement.snapshot for anchor in anchors))
    return [*_positions(log, anchors), *_chains(log, anchors)]


class _Log:
    """The log up to a snapshot, read once."""

    def __init__(self, lake: Lake, upto_snapshot: int) -> None:
        self.lake = lake
        self.unreadable: dict[str, str] = {}
        self._upto = upto_snapshot
        found = lake.connection.execute("SELECT current_setting('temp_directory')").fetchone()
        assert found is not None
        self._folder = str(found[0])
        self._blocks: dict[tuple[str, int, int], Block | None] = {}

    @cached_property
    def commits(self) -> dict[str, list[Block]]:
        """By table, a block for each commit; a table whose files cannot be read is in `unreadable` instead."""
        found = {}
        for name, table in tables_of(self.lake).items():
            try:
                found[name] = self._commits(table)
            except (duckdb.Error, ValueError) as error:
                if is_transient(error):
                    raise
                self.unreadable[name] = f"its rows cannot be read: {(str(error).splitlines() or [''])[0]}"
                self.reconnect()
        return found

    def reconnect(self) -> None:
        """Damaged data can end DuckDB's database, and with it the connection."""
        self.lake.reconnect()
        bound_memory(self.lake, self._folder)

    def block(self, table: str, start: int, end: int) -> Block | None:
        """The block of some commits of a table, by their ordinals; anchors share most of their blocks."""
        if (table, start, end) not in self._blocks:
            self._blocks[table, start, end] = block_of(self.commits[table][start:end])
        return self._blocks[table, start, end]

    def _commits(self, table: Table) -> list[Block]:
        return list(commits_of(self.lake, table, after_snapshot=0, upto_snapshot=self._upto))

    def positions(self, wanted: Sequence[int]) -> tuple[int, dict[int, list[int]]]:
        """The newest position (0 where there is none or none can be read), and the snapshots of some positions."""
        found: dict[int, list[int]] = {}
        newest = self.row("positions_of_commits", {"low": 0, "high": current_snapshot(self.lake)})
        for position, snapshot in self._rows(statement("snapshots_of_positions"), [list(wanted)]):
            found.setdefault(position, []).append(snapshot)
        return (0 if newest is None else newest[2]), found

    def links(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """The hashes of some control rows, by source and sequence number."""
        found: dict[tuple[str, int], list[str]] = {}
        values: list[object] = [[source for source, _ in wanted], [number for _, number in wanted]]
        for source, number, value in self._rows(statement("chain_links"), values):
            found.setdefault((source, number), []).append(value)
        return found

    def row(self, name: str, values: dict[str, object]) -> tuple[Any, ...] | None:
        """The first row of a statement; None where there is none, or what it asks of cannot be read."""
        return next(iter(self._rows(statement(name), values)), None)

    def place(self, table: str, low: int, high: int) -> str:
        """Commits of a table in [low, high], by their positions."""
        found = self.row("positions_of_commits", {"low": low, "high": high})
        if found is None:
            return f"{table}, snapshots {low} to {high}"
        first, last, before = found
        if first is None:
            return f"{table}, after position {before}"
        return f"{table}, position {first}" if first == last else f"{table}, positions {first} to {last}"

    def units(self, low: int, high: int) -> list[str]:
        """The first few units that came with commits in [low, high], each with its source."""
        return self._column(statement("units_of_commits"), [low, high, _SHOWN + 1])

    def files(self, table: str, low: int, high: int) -> list[str]:
        """The first few data files that hold rows of commits in [low, high], as they are now; paths below the lake's data."""
        query = statement("files_of_commits").format(table=table)
        folder = data_path(self.lake.project)
        return [path.removeprefix(folder) for path in self._column(query, [low, high, _SHOWN + 1])]

    def _column(self, query: str, values: list[object]) -> list[str]:
        return [str(value) for (value,) in self._rows(query, values)]

    def _rows(self, query: str, values: list[object] | dict[str, object]) -> list[tuple[Any, ...]]:
        """The rows of a query; none where a data file cannot be read, which is a difference of its own."""
        try:
            return self.lake.connection.execute(query, values).fetchall()
        except duckdb.Error as error:
            if is_transient(error):
                raise
            self.reconnect()
            return []


# --- positions and chains ---------------------------------------------------------------------------------------------


def _positions(log: _Log, anchors: Sequence[Loaded]) -> Iterator[Difference]:
    states = [anchor.statement for anchor in anchors]
    newest, snapshots = log.positions([state.position for state in states])
    ahead = [i for i, state in enumerate(states) if state.position > newest]
    if ahead:
        position = states[ahead[0]].position
        detail = f"{anchors[ahead[0]].name} states this position; the newest of the log is {newest}: the end of the log was removed"
        yield Difference(f"position {position}", detail, tuple(ahead))
    for index, state in enumerate(states):
        if 0 < state.position <= newest and snapshots.get(state.position) != [state.position_snapshot]:
            found = " and ".join(map(str, snapshots.get(state.position, []))) or "none"
            detail = f"{anchors[index].name} states that snapshot {state.position_snapshot} brought it; in the log it is {found}"
            yield Difference(f"position {state.position}", detail, (index,))
    last = current_snapshot(log.lake)
    removed = [i for i, state in enumerate(states) if state.snapshot > last]
    if removed and not ahead:
        detail = f"{anchors[removed[0]].name} states this commit; the newest is {last}: commits of results were removed"
        yield Difference(f"snapshot {states[removed[0]].snapshot}", detail, tuple(removed))


def _chains(log: _Log, anchors: Sequence[Loaded]) -> Iterator[Difference]:
    heads = [(source, head) for anchor in anchors for source, head in anchor.statement.chains.items()]
    links = log.links({(source, head.sequence_no) for source, head in heads})
    wrong: dict[str, list[tuple[int, ChainHead]]] = {}
    for index, anchor in enumerate(anchors):
        for source, head in anchor.statement.chains.items():
            if links.get((source, head.sequence_no)) != [head.hash]:
                wrong.setdefault(source, []).append((index, head))
    for source, found in wrong.items():
        index, head = found[0]
        there = " and ".join(f"{value[:16]}…" for value in links.get((source, head.sequence_no), [])) or "none"
        detail = f"{anchors[index].name} states the hash {head.hash[:16]}…; the log has {there}: the chain was rewritten or cut"
        yield Difference(f"source {source}, control row {head.sequence_no}", detail, tuple(i for i, _ in found))


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(log: _Log, anchors: Sequence[Loaded]) -> Iterator[Difference]:
    names = dict.fromkeys(name for anchor in anchors for name in anchor.statement.tables) | dict.fromkeys(log.commits)
    for name in names:
        if name in log.unreadable:
            continue
        log.commits.setdefault(name, [])
        spans = [span for index, anchor in enumerate(anchors) for span in _spans(log, name, index, anchor.statement)]
        agreed = _agreed(anchors, spans)
        for span, disagreeing in _narrowest(spans):
            yield _difference(log, anchors, span, disagreeing, agreed)


def _spans(log: _Log, name: str, index: int, state: Statement) -> Iterator[_Span]:
    """What one anchor covers by blocks that are not those of the log; behind its last block no commit may be."""
    commits, low, start = log.commits[name], 0, 0
    for block in state.blocks(name):
        end = bisect_right(commits, block.upto_snapshot, key=lambda commit: commit.upto_snapshot)
        if log.block(name, start, end) != block:
            yield _Span(name, low, block.upto_snapshot, block.rows, index)
        low, start = block.upto_snapshot, max(start, end)
    if start < len(commits) and commits[start].upto_snapshot <= state.snapshot:
        yield _Span(name, low, state.snapshot, 0, index)


def _agreed(anchors: Sequence[Loaded], spans: Sequence[_Span]) -> int:
    """The snapshot up to which a table is as the anchors state that agree on all of it; 0 where none does."""
    wrong = {span.anchor for span in spans}
    first = min(wrong, default=0)
    return max((a.statement.snapshot for i, a in enumerate(anchors) if i < first), default=0)


def _narrowest(spans: Sequence[_Span]) -> Iterator[tuple[_Span, tuple[int, ...]]]:
    """The spans that hold no narrower one, and the anchors whose spans hold them."""
    chosen: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s.high - s.low, s.anchor)):
        if not any(span.low <= other.low and other.high <= span.high for other in chosen):
            chosen.append(span)
    for span in sorted(chosen, key=lambda s: s.high):
        yield span, tuple(sorted({s.anchor for s in spans if s.low <= span.low and span.high <= s.high}))


def _difference(log: _Log, anchors: Sequence[Loaded], span: _Span, disagreeing: tuple[int, ...], agreed: int) -> Difference:
    after = max(span.low, agreed)
    here = [commit for commit in log.commits[span.table] if span.low < commit.upto_snapshot <= span.high]
    known = [commit.upto_snapshot for commit in here if commit.upto_snapshot > after]
    # A block tells the snapshot of its last commit; of the others, the log itself tells where they are.
    last = [] if span.rows == 0 else [span.high]
    low, high = min([*known, *last], default=span.high), max([*known, *last], default=span.high)
    rows = sum(commit.rows for commit in here)
    counted = f"{_counted(span.rows, 'row')} then" + (" and now" if rows == span.rows else f", {rows} now")
    detail = f"the rows are not those that {anchors[disagreeing[0]].name} states: {counted}"
    units, files = log.units(low, high), log.files(span.table, low, high)
    if units:
        detail += f"; they came with {_listed('unit', units)}"
    if files:
        detail += f"; in {_listed('file', files)}"
    return Difference(log.place(span.table, low, high), detail, disagreeing)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(noun: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{noun} {shown}" if len(names) == 1 else f"{noun}s {shown}"


# --- digests ----------------------------------------------------------------------------------------------------------


def _digests(log: _Log, anchors: Sequence[Loaded], suspected: set[int]) -> Iterator[Difference]:
    """Digests that are others now: of the newest anchor, and of those whose findings or scores were found to differ.

    Anchors between need no look: what their digests are made of was compared row by row.
    """
    wrong: dict[str, list[tuple[int, str]]] = {}
    for index in sorted({len(anchors) - 1, *suspected}):
        state = anchors[index].statement
        try:
            found = digests_as_of(
                log.lake, snapshot=state.snapshot, position=state.position, reconciled_position=state.reconciled_position
            )
        except duckdb.Error as error:
            if is_transient(error):
                raise
            log.reconnect()
            continue  # The table is among those that cannot be read.
        for name in Digests.model_fields:
            stated, now = getattr(state.digests, name), getattr(found, name)
            if stated != now:
                detail = f"{anchors[index].name} states {_short(stated)}; it is {_short(now)} now"
                wrong.setdefault(name, []).append((index, detail))
    for name, found_wrong in wrong.items():
        index, detail = found_wrong[0]
        state = anchors[index].statement
        position = state.position if name == "scores" else state.reconciled_position
        yield Difference(f"digest {name} as of position {position}", detail, tuple(i for i, _ in found_wrong))


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:16]}…"
