"""Segments: rows with the keys and deadlines by which an epoch finds those that it affects.

Rows of one component have one *component key*. An epoch affects the component keys that have one of its blocking keys
(`trueup.reconcile.blocking.keys`) or a deadline that a stream passed. All other rows are neither read nor written. Segments are
immutable; a removal only records the removed component keys. A new segment is merged with the last one if that is at most twice as
large, so that adding rows rewrites little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.frames import compact_strings
from trueup.reconcile.blocking.keys import ANY_RULE, COMPONENT_KEY
from trueup.reconcile.domain.record_hashes import NO_HASHES, Hashes

_BITMAP_BITS = 22
PassedInterval = tuple[int, int, int, bool]
"""Instants [from, to), in µs, that a stream passed by a wait of one rule or `ANY_RULE`; whether only for unkeyed records."""


@dataclass(frozen=True)
class Segment:
    """Rows with their blocking keys and deadlines, both ascending, and the component keys of removed rows.

    Each row has a component key. `trueup.reconcile.blocking.keys` explains `keys` and `deadlines`.
    """

    rows: pl.DataFrame
    keys: pl.DataFrame
    deadlines: pl.DataFrame
    tombstones: Hashes
    height: int
    """The number of rows that are not removed."""
    bitmap: NDArray[np.bool_]
    """Bitmap of the low bits of the blocking keys; it quickly excludes most keys that are looked up, which do not occur here."""

    @classmethod
    def of(cls, rows: pl.DataFrame, keys: pl.DataFrame, deadlines: pl.DataFrame, tombstones: Hashes = NO_HASHES) -> Segment:
        """Build a segment from parts in any order."""
        rows, keys, deadlines = rows.sort(COMPONENT_KEY), keys.sort("blocking_key"), deadlines.sort("at_us")
        height = rows.height - int(np.isin(rows[COMPONENT_KEY].to_numpy(), tombstones).sum()) if len(tombstones) else rows.height
        bitmap = np.zeros(1 << min(_BITMAP_BITS, max(6, (8 * keys.height).bit_length())), dtype=np.bool_)
        bitmap[keys["blocking_key"].to_numpy() & np.uint64(len(bitmap) - 1)] = True
        return cls(rows, keys, deadlines, tombstones, height, bitmap)

    @property
    def component_keys(self) -> Hashes:
        """The component key of each row, ascending."""
        return self.rows[COMPONENT_KEY].to_numpy()

    def present_keys(self, component_keys: Hashes) -> Hashes:
        """Return the component keys that have rows in this segment, each once."""
        requested = np.unique(component_keys)
        low, high = (np.searchsorted(self.component_keys, requested, side=s) for s in ("left", "right"))
        present = requested[high > low]
        return present[~np.isin(present, self.tombstones)]

    def keys_sharing(self, shared_keys: Hashes) -> Hashes:
        """Return the component keys that have one of the blocking keys."""
        possible = shared_keys[self.bitmap[shared_keys & np.uint64(len(self.bitmap) - 1)]]
        return self.present_keys(
            self.keys[COMPONENT_KEY].to_numpy()[_find_positions(self.keys["blocking_key"].to_numpy(), np.unique(possible))]
        )

    def keys_passed(self, intervals: Iterable[PassedInterval]) -> Hashes:
        """Return the component keys with a deadline that a stream passed."""
        passed_keys = [NO_HASHES]
        for low, high, rule, unkeyed in intervals:
            first, end = np.searchsorted(self.deadlines["at_us"].to_numpy(), (low, high))
            of_rule = pl.col("rule").is_in([rule, ANY_RULE]) if rule != ANY_RULE else pl.lit(True)
            in_interval = self.deadlines[int(first) : int(end)].filter(of_rule & (pl.col("unkeyed") if unkeyed else True))
            passed_keys.append(in_interval[COMPONENT_KEY].to_numpy())
        return self.present_keys(np.concatenate(passed_keys))

    def rows_of(self, component_keys: Hashes) -> pl.DataFrame:
        """Return the rows of the component keys."""
        return self.rows[_find_positions(self.component_keys, self.present_keys(component_keys))]

    def excluding(self, component_keys: Hashes) -> Segment:
        """Return the segment without the rows of the component keys."""
        present = self.present_keys(component_keys)
        if not len(present):
            return self
        removed = len(_find_positions(self.component_keys, present))
        return replace(self, tombstones=np.union1d(self.tombstones, present), height=self.height - removed)

    def compacted(self) -> Segment:
        """Return the segment without its removed rows, whose text then leaves memory."""
        rows, keys, deadlines = self.parts
        return Segment.of(compact_strings(rows), keys, deadlines)

    def __add__(self, other: Segment) -> Segment:
        """Merge two segments, without their removed rows."""
        rows, keys, deadlines = (pl.concat([own, others]) for own, others in zip(self.parts, other.parts, strict=True))
        return Segment.of(compact_strings(rows), keys, deadlines)

    @property
    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Rows, keys and deadlines of the remaining rows."""

        def remaining(frame: pl.DataFrame) -> pl.DataFrame:
            return (
                frame.filter(pl.Series(~np.isin(frame[COMPONENT_KEY].to_numpy(), self.tombstones)))
                if len(self.tombstones)
                else frame
            )

        return remaining(self.rows), remaining(self.keys), remaining(self.deadlines)


@dataclass(frozen=True)
class SegmentSet:
    """Rows of one `schema`, in segments each more than twice as large as the next."""

    schema: ClassVar[dict[str, pl.DataType]]
    segments: tuple[Segment, ...] = ()

    @property
    def height(self) -> int:
        """The number of rows."""
        return sum(segment.height for segment in self.segments)

    @property
    def rows(self) -> pl.DataFrame:
        """All rows."""
        return pl.concat([pl.DataFrame(schema=self.schema), *(s.parts[0] for s in self.segments)])

    def keys_sharing(self, shared_keys: Hashes) -> Hashes:
        """Return the component keys that have one of the blocking keys."""
        return _unite_hashes(segment.keys_sharing(shared_keys) for segment in self.segments)

    def keys_passed(self, intervals: Sequence[PassedInterval]) -> Hashes:
        """Return the component keys with a deadline that a stream passed."""
        return _unite_hashes(segment.keys_passed(intervals) for segment in self.segments)

    def keys_matching(self, condition: pl.Expr) -> Hashes:
        """Return the component keys with a row for which a condition holds; reads all rows."""
        return _unite_hashes(s.present_keys(s.rows.filter(condition)[COMPONENT_KEY].to_numpy()) for s in self.segments)

    def rows_with_keys(self, component_keys: Hashes) -> pl.DataFrame:
        """Return the rows of the component keys."""
        return pl.concat([pl.DataFrame(schema=self.schema), *(segment.rows_of(component_keys) for segment in self.segments)])

    def excluding(self, component_keys: Hashes) -> Self:
        """Return the rows of all other component keys."""
        segments = (segment.excluding(component_keys) for segment in self.segments)
        return replace(self, segments=tuple(segment for segment in segments if segment.height))

    def with_segment(self, last: Segment) -> Self:
        """Return the rows and the rows of one more segment."""
        # Compact a segment when it has more removed rows than remaining ones.
        segments = [s if s.rows.height <= 2 * s.height else s.compacted() for s in self.segments]
        while segments and segments[-1].height <= 2 * last.height:
            last = segments.pop() + last
        return replace(self, segments=(*segments, last))


def _unite_hashes(key_sets: Iterable[Hashes]) -> Hashes:
    union: Hashes = np.unique(np.concatenate([NO_HASHES, *key_sets]))
    return union


def _find_positions(ascending: Hashes, values: Hashes) -> NDArray[np.int64]:
    """Return all positions in an ascending array of each of the values."""
    low = np.searchsorted(ascending, values, side="left")
    counts = np.searchsorted(ascending, values, side="right") - low
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    positions: NDArray[np.int64] = np.repeat(low, counts) + offsets
    return positions
