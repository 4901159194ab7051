"""Write the usage files of a day, one per element and block: number the records, lose some, and repeat some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.feeds import FIRST_SEQUENCE, ROWS, Names
from trueup.simulate.files.write import copy_file, write_rows
from trueup.simulate.leaks import leak_mechanisms
from trueup.simulate.market.network import Network
from trueup.simulate.market.period import moment
from trueup.simulate.market.profile import Profile
from trueup.simulate.traffic.sessions import NO_NUMBER, Ints, numbers
from trueup.units import MICROS

RESENT_PERMILLE = 800
_OFFSET_BITS = 40
"""Microseconds of a day fit well below 40 bits."""


@dataclass(frozen=True)
class FileDay:
    """The day that usage files cover: [start_us, end_us), in `blocks` equal blocks."""

    start_us: int
    end_us: int
    blocks: int

    def block_of(self, stamp_us: Ints) -> Ints:
        """Return the block of each instant."""
        return np.clip((stamp_us - self.start_us) * self.blocks // (self.end_us - self.start_us), 0, self.blocks - 1)

    def begin_us(self, block: int) -> int:
        """Return when a block begins, in UTC microseconds."""
        return self.start_us + (self.end_us - self.start_us) * block // self.blocks


@dataclass(frozen=True)
class Window:
    """A window of lost records of one element: stamps in [from_us, to_us); `kind` is `lost_file` or `lost_stretch`."""

    number: int
    kind: str
    node: int
    from_us: int
    to_us: int


def draw_lost_windows(
    rng: np.random.Generator, network: Network, region: int, day: FileDay, profile: Profile, first: int
) -> list[Window]:
    """Draw the lost windows of a day's files in the second half of the day, where no session of the previous day has records."""
    windows: list[Window] = []
    for feed in ("msc", "pgw"):
        for node in network.elements(region, feed):
            for block in range(-(-day.blocks // 2), day.blocks):
                draw, where, length = rng.random(3)
                low, high = day.begin_us(block), day.begin_us(block + 1)
                if draw < profile.rates["lost_file"]:
                    windows.append(Window(first + len(windows), "lost_file", int(node), low, high))
                elif draw < profile.rates["lost_file"] + profile.rates["lost_stretch"]:
                    begin = low + int((high - low) * where * 0.8)
                    end = begin + int((high - low) * (0.05 + 0.15 * length))
                    windows.append(Window(first + len(windows), "lost_stretch", int(node), begin, min(end, high - 1)))
    return windows


def window_of(records: pl.DataFrame, windows: list[Window]) -> Ints:
    """Return the number of the window of each record, `NO_NUMBER` for none."""
    window = np.full(len(records), NO_NUMBER, dtype=np.int64)
    node, stamp = numbers(records, "node"), numbers(records, "stamp_us")
    for w in windows:
        window[(node == w.node) & (stamp >= w.from_us) & (stamp < w.to_us)] = w.number
    return window


@dataclass
class Counters:
    """Each element's next record number, and the number of its files."""

    records: Ints
    files: Ints

    @classmethod
    def of(cls, network: Network) -> Counters:
        """Return the counters at their start values."""
        count = len(network.names)
        return cls(np.full(count, FIRST_SEQUENCE, dtype=np.int64), np.zeros(count, dtype=np.int64))


def number_records(records: pl.DataFrame, day: FileDay, counters: Counters) -> pl.DataFrame:
    """Order records by element and time, add `sequence` (the element's running number) and `block`, and advance the counters."""
    # Rows are in order of session and part; a stable sort preserves that order among equal times.
    sort_key = (numbers(records, "node") << _OFFSET_BITS) + numbers(records, "stamp_us") - day.start_us
    ordered = records.with_columns(sort_key=pl.Series(sort_key)).sort("sort_key", maintain_order=True).drop("sort_key")
    node = numbers(ordered, "node")
    elements, first, counts = np.unique(node, return_index=True, return_counts=True)
    rank = np.arange(len(node)) - np.repeat(first, counts)
    sequence = counters.records[node] + rank
    counters.records[elements] += counts
    block = day.block_of(numbers(ordered, "stamp_us"))
    return ordered.with_columns(sequence=pl.Series(sequence), block=pl.Series(block.astype(np.int32)))


def copies_of(
    rng: np.random.Generator, records: pl.DataFrame, day: FileDay, rate: float, dropped: set[tuple[int, int]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return conflicting re-sends and plain retransmissions of numbered records, for the element's next file of the day.

    Where that file is dropped (`dropped` lists element and block), the copies go into the record's own file.
    """
    arrived = records.filter(~pl.col("lost"))
    next_block = pl.min_horizontal(pl.col("block") + 1, pl.lit(day.blocks - 1, pl.Int32))
    for node, block in sorted(dropped):
        next_block = pl.when((pl.col("node") == node) & (next_block == block)).then(pl.col("block")).otherwise(next_block)
    conflicting = arrived.filter(pl.col("leak") == CODES["conflicting_usage"]).with_columns(block=next_block)
    micros = conflicting.with_columns(quantity_micros=pl.col("quantity") * MICROS)
    reduced = leak_mechanisms.resend_with_less(micros, RESENT_PERMILLE).with_columns(quantity=pl.col("quantity_micros") // MICROS)
    unchanged = arrived.filter(pl.Series(rng.random(len(arrived)) < rate, dtype=pl.Boolean)).with_columns(block=next_block)
    return reduced.drop("quantity_micros"), unchanged


@dataclass
class UsageFiles:
    """Writes the usage files of all days; `manifest` lists the files and record counts that the elements declare."""

    root: Path
    names: Names
    profile: Profile
    file_format: str
    counters: Counters
    manifest: list[dict[str, object]] = field(default_factory=list)
    files: int = 0
    records: int = 0

    def write(
        self, rng: np.random.Generator, feed: str, records: pl.DataFrame, copies: pl.DataFrame, day: FileDay,
        dropped: set[tuple[int, int]],
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """Write a feed's files of one day; yield the records of each file that is sent twice.

        `records` are numbered and ordered; `dropped` are the (element, block) whose file never arrives.
        """
        runs = _find_block_runs(records, copies)
        arrived = ROWS[feed](records, self.names)
        again = ROWS[feed](copies, self.names)
        not_lost = ~records["lost"]
        for node, block, (first, count), (copy_first, copy_count) in runs:
            self.counters.files[node] += 1
            name = f"{moment(day.begin_us(block)):%Y%m%dT%H%MZ}-{self.names.network.names[node]}-{self.counters.files[node]:06d}"
            file_name = f"{name}.{self.file_format}"
            self.manifest.append(
                {
                    "feed": feed, "node": self.names.network.names[node], "file": file_name,
                    "sequence": int(self.counters.files[node]), "declared_records": count + copy_count,
                }
            )  # fmt: skip
            body = arrived[first : first + count].filter(not_lost[first : first + count])
            body = pl.concat([body, again[copy_first : copy_first + copy_count]]) if copy_count else body
            if (node, block) in dropped or body.is_empty():
                continue
            path = self.root / feed / file_name
            write_rows(body, path, self.file_format)
            self.files += 1
            self.records += len(body)
            if rng.random() < self.profile.rates["retransmitted_file"]:
                copy_file(path, path.with_name(f"{name}_R.{self.file_format}"))
                self.files += 1
                yield records[first : first + count].filter(not_lost[first : first + count])


def _find_block_runs(records: pl.DataFrame, copies: pl.DataFrame) -> list[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    """Return (element, block, (first, count) of records, (first, count) of copies) of frames ordered by element and block."""
    spans = [_find_row_spans(frame) for frame in (records, copies)]
    places = sorted({*spans[0], *spans[1]}, key=lambda sort_key: (sort_key[1], sort_key[0]))
    return [(node, block, spans[0].get((node, block), (0, 0)), spans[1].get((node, block), (0, 0))) for node, block in places]


def _find_row_spans(frame: pl.DataFrame) -> dict[tuple[int, int], tuple[int, int]]:
    sort_key = numbers(frame, "node") * 10_000 + numbers(frame, "block")
    values, first, counts = np.unique(sort_key, return_index=True, return_counts=True)
    assert np.all(np.diff(sort_key) >= 0), "usage files need frames ordered by element and block"
    return {divmod(int(v), 10_000): (int(f), int(c)) for v, f, c in zip(values, first, counts, strict=True)}
