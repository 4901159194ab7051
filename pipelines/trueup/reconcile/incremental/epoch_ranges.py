"""Divide positions into ranges that are processed at once, so that memory is bounded regardless of the backlog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from trueup.log.lake import Lake

Span = tuple[int, int]
"""Positions (after, upto]."""


@dataclass(frozen=True)
class Bounds:
    """The maximum number of records and of commits in an epoch. A commit is never split."""

    rows: int = 1_000_000
    commits: int = 1_000


def epoch_end(arrived: pl.DataFrame, after: int, newest: int, bounds: Bounds) -> int:
    """Return the last position of the epoch that begins after a position.

    `arrived` has (`position`, `accepted`) of the later commits.
    """
    last = min(newest, after + bounds.commits)
    sums = arrived.group_by("position").agg(pl.col("accepted").sum()).sort("position").with_columns(pl.col("accepted").cum_sum())
    over = sums.filter((pl.col("accepted") > bounds.rows) & (pl.col("position") > after + 1))["position"].min()
    return last if over is None else min(last, int(over) - 1)  # type: ignore[arg-type]


def split_ranges(lake: Lake, after: int, upto: int, bounds: Bounds) -> Iterator[Span]:
    """Yield positions (after, upto] in ranges within bounds."""
    arrived = lake.read("control", columns=["accepted"], after=after, upto=upto)
    while after < upto:
        end = epoch_end(arrived.filter(pl.col("position") > after), after, upto, bounds)
        yield after, end
        after = end
