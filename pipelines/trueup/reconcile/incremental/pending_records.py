"""Records that can still change, kept so that an epoch looks at no more of them than it touches.

They are kept by *label*: those of one component have one. Which labels an epoch touches is found by ties
(`trueup.reconcile.blocking.keys`) and by the instants a stream passed; all else is neither read nor written. They lie in
segments that never change but for the labels taken out of them; a new one joins the last while that is not more than twice as
large, so that adding rewrites little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.frames import compact_strings
from trueup.reconcile.blocking.keys import ANY_RULE, COMPONENT_KEY, blocking_keys, candidate_keys, deadline_instants, identity_keys
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.incremental.hash_runs import Hashes
from trueup.reconcile.incremental.settled_keys import NO_HASHES, record_hashes
from trueup.reconcile.sessions.admission import EVENTS

PENDING_SCHEMA: dict[str, pl.DataType] = {**EVENTS, COMPONENT_KEY: pl.UInt64()}
_BITMAP_BITS = 22
PassedInterval = tuple[int, int, int, bool]
"""Instants [from, to), in µs, that a stream passed by a wait of one rule, or of `ANY_RULE`; and whether that wait is only of
records without a session key."""


@dataclass(frozen=True)
class Segment:
    """Pending rows with their blocking keys and deadlines, both ascending, and the component keys of rows taken out.

    Rows are as in `PENDING_SCHEMA`; `ties` and `instants` are explained in `trueup.reconcile.blocking.keys`.
    """

    rows: pl.DataFrame
    keys: pl.DataFrame
    deadlines: pl.DataFrame
    tombstones: Hashes
    height: int
    """How many rows are not taken out."""
    bitmap: NDArray[np.bool_]
    """Which last bits of a tie there are at all: most that are asked for are not here."""

    @classmethod
    def of(cls, rows: pl.DataFrame, ties: pl.DataFrame, instants: pl.DataFrame, taken: Hashes = NO_HASHES) -> Segment:
        """A segment of parts in any order."""
        rows, ties, instants = rows.sort(COMPONENT_KEY), ties.sort("blocking_key"), instants.sort("at_us")
        height = rows.height - int(np.isin(rows[COMPONENT_KEY].to_numpy(), taken).sum()) if len(taken) else rows.height
        sieve = np.zeros(1 << min(_BITMAP_BITS, max(6, (8 * ties.height).bit_length())), dtype=np.bool_)
        sieve[ties["blocking_key"].to_numpy() & np.uint64(len(sieve) - 1)] = True
        return cls(rows, ties, instants, taken, height, sieve)

    @property
    def component_keys(self) -> Hashes:
        """The label of each row, ascending."""
        return self.rows[COMPONENT_KEY].to_numpy()

    def present_keys(self, labels: Hashes) -> Hashes:
        """Of some labels those of rows that are here, each once."""
        some = np.unique(labels)
        low, high = (np.searchsorted(self.component_keys, some, side=s) for s in ("left", "right"))
        here = some[high > low]
        return here[~np.isin(here, self.tombstones)]

    def keys_sharing(self, ties: Hashes) -> Hashes:
        """The labels that have one of some ties."""
        able = ties[self.bitmap[ties & np.uint64(len(self.bitmap) - 1)]]
        return self.present_keys(
            self.keys[COMPONENT_KEY].to_numpy()[_index_of(self.keys["blocking_key"].to_numpy(), np.unique(able))]
        )

    def keys_passed(self, passed: Iterable[PassedInterval]) -> Hashes:
        """The labels that have an instant a stream passed."""
        found = [NO_HASHES]
        for low, high, rule, loose in passed:
            first, end = np.searchsorted(self.deadlines["at_us"].to_numpy(), (low, high))
            mine = pl.col("rule").is_in([rule, ANY_RULE]) if rule != ANY_RULE else pl.lit(True)
            here = self.deadlines[int(first) : int(end)].filter(mine & (pl.col("unkeyed") if loose else True))
            found.append(here[COMPONENT_KEY].to_numpy())
        return self.present_keys(np.concatenate(found))

    def rows_of(self, labels: Hashes) -> pl.DataFrame:
        """The rows of some labels."""
        return self.rows[_index_of(self.component_keys, self.present_keys(labels))]

    def excluding(self, labels: Hashes) -> Segment:
        """The segment with the rows of some labels taken out."""
        mine = self.present_keys(labels)
        if not len(mine):
            return self
        gone = len(_index_of(self.component_keys, mine))
        return replace(self, tombstones=np.union1d(self.tombstones, mine), height=self.height - gone)

    def compacted(self) -> Segment:
        """The segment without what is taken out of it, nor its text."""
        rows, ties, instants = self.parts
        return Segment.of(compact_strings(rows), ties, instants)

    def __add__(self, other: Segment) -> Segment:
        """Both as one, without what is taken out of either, nor its text."""
        rows, ties, instants = (pl.concat([mine, theirs]) for mine, theirs in zip(self.parts, other.parts, strict=True))
        return Segment.of(compact_strings(rows), ties, instants)

    @property
    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Rows, ties and instants of what is not taken out."""

        def left(frame: pl.DataFrame) -> pl.DataFrame:
            return (
                frame.filter(pl.Series(~np.isin(frame[COMPONENT_KEY].to_numpy(), self.tombstones)))
                if len(self.tombstones)
                else frame
            )

        return left(self.rows), left(self.keys), left(self.deadlines)


@dataclass(frozen=True)
class PendingRecords:
    """Rows that can still change, in segments each of which is more than twice as large as the next."""

    segments: tuple[Segment, ...] = ()

    @property
    def height(self) -> int:
        """How many rows are kept."""
        return sum(segment.height for segment in self.segments)

    @property
    def rows(self) -> pl.DataFrame:
        """All of them, as `KEPT`."""
        return pl.concat([pl.DataFrame(schema=PENDING_SCHEMA), *(s.parts[0] for s in self.segments)])

    def keys_sharing(self, ties: Hashes) -> Hashes:
        """The labels that have one of some ties."""
        return _union(segment.keys_sharing(ties) for segment in self.segments)

    def keys_passed(self, passed: Sequence[PassedInterval]) -> Hashes:
        """The labels that have an instant a stream passed."""
        return _union(segment.keys_passed(passed) for segment in self.segments)

    def keys_matching(self, condition: pl.Expr) -> Hashes:
        """The labels that have a row of which something holds; looks at all of them."""
        return _union(s.present_keys(s.rows.filter(condition)[COMPONENT_KEY].to_numpy()) for s in self.segments)

    def rows_of(self, labels: Hashes) -> pl.DataFrame:
        """The rows (`EVENTS`) of some labels."""
        found = pl.concat([pl.DataFrame(schema=PENDING_SCHEMA), *(segment.rows_of(labels) for segment in self.segments)])
        return found.drop(COMPONENT_KEY)

    def excluding(self, labels: Hashes) -> PendingRecords:
        """What is left without the rows of some labels."""
        left = (segment.excluding(labels) for segment in self.segments)
        return PendingRecords(tuple(segment for segment in left if segment.height))

    def add(self, rows: pl.DataFrame, frontier: Frontier) -> PendingRecords:
        """What is kept with more rows (`EVENTS` and `component`, a number), as known along a frontier."""
        if rows.is_empty():
            return self
        # What is taken out of a segment is let go when it is more than what is left.
        segments = [s if s.rows.height <= 2 * s.height else s.compacted() for s in self.segments]
        last = _segment(rows, frontier)
        while segments and segments[-1].height <= 2 * last.height:
            last = segments.pop() + last
        return PendingRecords((*segments, last))


def _segment(rows: pl.DataFrame, frontier: Frontier) -> Segment:
    """Rows (`EVENTS` and `component`) as a segment; a component's label is the least hash of its records' names."""
    labelled = rows.with_columns(component_key=pl.Series(record_hashes(rows))).with_columns(
        pl.col(COMPONENT_KEY).min().over("component")
    )
    labels = labelled[COMPONENT_KEY].to_numpy()
    stood = candidate_keys(rows, labels, frontier)
    by_time, instants = blocking_keys(stood, frontier, around=True), deadline_instants(rows, stood, labels, frontier)
    keyed = rows["session_key"].is_not_null().to_numpy()
    by_name = pl.DataFrame({COMPONENT_KEY: np.concatenate([labels[keyed], labels]), "blocking_key": identity_keys(rows)})
    return Segment.of(labelled.select(*PENDING_SCHEMA), pl.concat([by_name, by_time]), instants)


def _union(labels: Iterable[Hashes]) -> Hashes:
    every: Hashes = np.unique(np.concatenate([NO_HASHES, *labels]))
    return every


def _index_of(ascending: Hashes, asked: Hashes) -> NDArray[np.int64]:
    """Where in an ascending array each of some values is, all places of each."""
    low = np.searchsorted(ascending, asked, side="left")
    counts = np.searchsorted(ascending, asked, side="right") - low
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places: NDArray[np.int64] = np.repeat(low, counts) + offsets
    return places
