"""Comparison of the log with anchors: positions, hash chains, digests, and the rows of all commits."""

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
"""Number of files or units that one fault names."""

_DIGESTED = ("finding", "score", "consumer")
"""Tables from which digests are computed."""


@dataclass(frozen=True)
class SignedAnchor:
    """An anchor with a valid signature, and the name of its file."""

    name: str
    anchor: Anchor
    is_from_folder: bool = False

    @property
    def statement(self) -> Statement:
        """The statement of the anchor."""
        return self.anchor.statement

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort key among the anchors of a lake."""
        return self.statement.position, self.statement.snapshot, self.statement.sequence_no


@dataclass(frozen=True)
class Difference:
    """A difference between the log and anchors; `disagreeing` are the indexes of these anchors, ascending."""

    where: str
    detail: str
    disagreeing: tuple[int, ...]


@dataclass(frozen=True)
class _Span:
    """Commits in (low, high] that one anchor covers by one block, and that differ in the log."""

    table: str
    low: int
    high: int
    rows: int
    anchor: int


def differences(lake: Lake, anchors: Sequence[SignedAnchor]) -> list[Difference]:
    """Return all differences between the log and anchors of this lake; the anchors are in order."""
    log = _Log(lake, max(anchor.statement.snapshot for anchor in anchors))
    rows = list(_compare_rows(log, anchors))
    return [
        *_compare_positions(log, anchors),
        *_compare_chains(log, anchors),
        *rows,
        *_compare_digests(log, anchors, {d.disagreeing[0] for d in rows if d.where.split(",")[0] in _DIGESTED}),
        *(Difference(table, detail, tuple(range(len(anchors)))) for table, detail in log.unreadable.items()),
    ]


def heads(lake: Lake, anchors: Sequence[SignedAnchor]) -> list[Difference]:
    """Return the differences in positions and hash chains alone, without reading other rows."""
    log = _Log(lake, max(anchor.statement.snapshot for anchor in anchors))
    return [*_compare_positions(log, anchors), *_compare_chains(log, anchors)]


class _Log:
    """The log up to a snapshot, read once."""

    def __init__(self, lake: Lake, upto_snapshot: int) -> None:
        self.lake = lake
        self.unreadable: dict[str, str] = {}
        self._upto = upto_snapshot
        row = lake.connection.execute("SELECT current_setting('temp_directory')").fetchone()
        assert row is not None
        self._folder = str(row[0])
        self._blocks: dict[tuple[str, int, int], Block | None] = {}

    @cached_property
    def commits(self) -> dict[str, list[Block]]:
        """Blocks of one commit each, by table; a table whose files cannot be read is in `unreadable` instead."""
        commits = {}
        for name, table in tables_of(self.lake).items():
            try:
                commits[name] = self._list_commits(table)
            except (duckdb.Error, ValueError) as error:
                if is_transient(error):
                    raise
                self.unreadable[name] = f"its rows cannot be read: {(str(error).splitlines() or [''])[0]}"
                self.reconnect()
        return commits

    def reconnect(self) -> None:
        """Reconnect: damaged data can end DuckDB's database, and with it the connection."""
        self.lake.reconnect()
        bound_memory(self.lake, self._folder)

    def block(self, table: str, start: int, end: int) -> Block | None:
        """Return the block of commits of a table by their ordinals; it is cached, because anchors share most blocks."""
        if (table, start, end) not in self._blocks:
            self._blocks[table, start, end] = block_of(self.commits[table][start:end])
        return self._blocks[table, start, end]

    def _list_commits(self, table: Table) -> list[Block]:
        return list(commits_of(self.lake, table, after_snapshot=0, upto_snapshot=self._upto))

    def positions(self, requested: Sequence[int]) -> tuple[int, dict[int, list[int]]]:
        """Return the newest readable position (0 where there is none), and the snapshots of the requested positions."""
        snapshots: dict[int, list[int]] = {}
        newest = self.row("positions_of_commits", {"low": 0, "high": current_snapshot(self.lake)})
        for position, snapshot in self._read_rows(statement("snapshots_of_positions"), [list(requested)]):
            snapshots.setdefault(position, []).append(snapshot)
        return (0 if newest is None else newest[2]), snapshots

    def links(self, requested: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the hashes of the requested control rows, by source and sequence number."""
        found: dict[tuple[str, int], list[str]] = {}
        values: list[object] = [[source for source, _ in requested], [number for _, number in requested]]
        for source, number, value in self._read_rows(statement("chain_links"), values):
            found.setdefault((source, number), []).append(value)
        return found

    def row(self, name: str, values: dict[str, object]) -> tuple[Any, ...] | None:
        """Return the first row of a statement; None where it has no row or its table cannot be read."""
        return next(iter(self._read_rows(statement(name), values)), None)

    def describe_commits(self, table: str, low: int, high: int) -> str:
        """Return a text for the commits of a table in [low, high], by their positions."""
        found = self.row("positions_of_commits", {"low": low, "high": high})
        if found is None:
            return f"{table}, snapshots {low} to {high}"
        first, last, before = found
        if first is None:
            return f"{table}, after position {before}"
        return f"{table}, position {first}" if first == last else f"{table}, positions {first} to {last}"

    def units(self, low: int, high: int) -> list[str]:
        """Return the first few units committed in [low, high], each with its source."""
        return self._read_column(statement("units_of_commits"), [low, high, _SHOWN + 1])

    def files(self, table: str, low: int, high: int) -> list[str]:
        """Return the first few present data files with rows of commits in [low, high]; paths below the lake's data."""
        query = statement("files_of_commits").format(table=table)
        folder = data_path(self.lake.project)
        return [path.removeprefix(folder) for path in self._read_column(query, [low, high, _SHOWN + 1])]

    def _read_column(self, query: str, values: list[object]) -> list[str]:
        return [str(value) for (value,) in self._read_rows(query, values)]

    def _read_rows(self, query: str, values: list[object] | dict[str, object]) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where a data file cannot be read, which is a separate difference."""
        try:
            return self.lake.connection.execute(query, values).fetchall()
        except duckdb.Error as error:
            if is_transient(error):
                raise
            self.reconnect()
            return []


# --- positions and chains ---------------------------------------------------------------------------------------------


def _compare_positions(log: _Log, anchors: Sequence[SignedAnchor]) -> Iterator[Difference]:
    states = [anchor.statement for anchor in anchors]
    newest, snapshots = log.positions([state.position for state in states])
    ahead = [i for i, state in enumerate(states) if state.position > newest]
    if ahead:
        position = states[ahead[0]].position
        detail = f"{anchors[ahead[0]].name} states this position; the newest of the log is {newest}: the end of the log was removed"
        yield Difference(f"position {position}", detail, tuple(ahead))
    for index, state in enumerate(states):
        if 0 < state.position <= newest and snapshots.get(state.position) != [state.position_snapshot]:
            committed = " and ".join(map(str, snapshots.get(state.position, []))) or "none"
            detail = f"{anchors[index].name} states snapshot {state.position_snapshot} for it; the log has {committed}"
            yield Difference(f"position {state.position}", detail, (index,))
    last = current_snapshot(log.lake)
    removed = [i for i, state in enumerate(states) if state.snapshot > last]
    if removed and not ahead:
        detail = f"{anchors[removed[0]].name} states this commit; the newest is {last}: commits of results were removed"
        yield Difference(f"snapshot {states[removed[0]].snapshot}", detail, tuple(removed))


def _compare_chains(log: _Log, anchors: Sequence[SignedAnchor]) -> Iterator[Difference]:
    heads = [(source, head) for anchor in anchors for source, head in anchor.statement.chains.items()]
    links = log.links({(source, head.sequence_no) for source, head in heads})
    wrong: dict[str, list[tuple[int, ChainHead]]] = {}
    for index, anchor in enumerate(anchors):
        for source, head in anchor.statement.chains.items():
            if links.get((source, head.sequence_no)) != [head.hash]:
                wrong.setdefault(source, []).append((index, head))
    for source, found in wrong.items():
        index, head = found[0]
        actual = " and ".join(f"{value[:16]}…" for value in links.get((source, head.sequence_no), [])) or "none"
        detail = f"{anchors[index].name} states the hash {head.hash[:16]}…; the log has {actual}: the chain was rewritten or cut"
        yield Difference(f"source {source}, control row {head.sequence_no}", detail, tuple(i for i, _ in found))


# --- rows -------------------------------------------------------------------------------------------------------------


def _compare_rows(log: _Log, anchors: Sequence[SignedAnchor]) -> Iterator[Difference]:
    names = dict.fromkeys(name for anchor in anchors for name in anchor.statement.tables) | dict.fromkeys(log.commits)
    for name in names:
        if name in log.unreadable:
            continue
        log.commits.setdefault(name, [])
        spans = [span for index, anchor in enumerate(anchors) for span in _find_differing_spans(log, name, index, anchor.statement)]
        agreed = _find_agreed_snapshot(anchors, spans)
        for span, disagreeing in _select_narrowest(spans):
            yield _describe_difference(log, anchors, span, disagreeing, agreed)


def _find_differing_spans(log: _Log, name: str, index: int, state: Statement) -> Iterator[_Span]:
    """Yield the spans of one anchor whose blocks differ from those of the log, also commits after the anchor's last block."""
    commits, low, start = log.commits[name], 0, 0
    for block in state.blocks(name):
        end = bisect_right(commits, block.upto_snapshot, key=lambda commit: commit.upto_snapshot)
        if log.block(name, start, end) != block:
            yield _Span(name, low, block.upto_snapshot, block.rows, index)
        low, start = block.upto_snapshot, max(start, end)
    if start < len(commits) and commits[start].upto_snapshot <= state.snapshot:
        yield _Span(name, low, state.snapshot, 0, index)


def _find_agreed_snapshot(anchors: Sequence[SignedAnchor], spans: Sequence[_Span]) -> int:
    """Return the snapshot up to which a table equals the anchors that agree on the whole table; 0 without such an anchor."""
    wrong = {span.anchor for span in spans}
    first = min(wrong, default=0)
    return max((a.statement.snapshot for i, a in enumerate(anchors) if i < first), default=0)


def _select_narrowest(spans: Sequence[_Span]) -> Iterator[tuple[_Span, tuple[int, ...]]]:
    """Yield the spans that contain no narrower span, with the anchors whose spans contain them."""
    chosen: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s.high - s.low, s.anchor)):
        if not any(span.low <= other.low and other.high <= span.high for other in chosen):
            chosen.append(span)
    for span in sorted(chosen, key=lambda s: s.high):
        yield span, tuple(sorted({s.anchor for s in spans if s.low <= span.low and span.high <= s.high}))


def _describe_difference(
    log: _Log, anchors: Sequence[SignedAnchor], span: _Span, disagreeing: tuple[int, ...], agreed: int
) -> Difference:
    after = max(span.low, agreed)
    in_span = [commit for commit in log.commits[span.table] if span.low < commit.upto_snapshot <= span.high]
    known = [commit.upto_snapshot for commit in in_span if commit.upto_snapshot > after]
    # A block has only the snapshot of its last commit; the log has the snapshots of the other commits.
    last = [] if span.rows == 0 else [span.high]
    low, high = min([*known, *last], default=span.high), max([*known, *last], default=span.high)
    rows = sum(commit.rows for commit in in_span)
    counted = f"{_count_text(span.rows, 'row')} then" + (" and now" if rows == span.rows else f", {rows} now")
    detail = f"the rows differ from those that {anchors[disagreeing[0]].name} states: {counted}"
    units, files = log.units(low, high), log.files(span.table, low, high)
    if units:
        detail += f"; they were committed with {_list_text('unit', units)}"
    if files:
        detail += f"; in {_list_text('file', files)}"
    return Difference(log.describe_commits(span.table, low, high), detail, disagreeing)


def _count_text(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _list_text(noun: str, names: Sequence[str]) -> str:
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{noun} {listed}" if len(names) == 1 else f"{noun}s {listed}"


# --- digests ----------------------------------------------------------------------------------------------------------


def _compare_digests(log: _Log, anchors: Sequence[SignedAnchor], suspected: set[int]) -> Iterator[Difference]:
    """Yield differing digests of the newest anchor, and of anchors whose findings or scores differ from the log.

    Other anchors need no comparison: the rows behind their digests were compared one by one.
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
            continue  # The table is among the unreadable tables.
        for name in Digests.model_fields:
            stated, now = getattr(state.digests, name), getattr(found, name)
            if stated != now:
                detail = f"{anchors[index].name} states {_shorten(stated)}; it is {_shorten(now)} now"
                wrong.setdefault(name, []).append((index, detail))
    for name, mismatches in wrong.items():
        index, detail = mismatches[0]
        state = anchors[index].statement
        position = state.position if name == "scores" else state.reconciled_position
        yield Difference(f"digest {name} as of position {position}", detail, tuple(i for i, _ in mismatches))


def _shorten(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:16]}…"
