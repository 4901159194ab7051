"""Ranges of positions that are worked on at once, so that however much has come, little of it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from trueup.log.lake import Lake

Span = tuple[int, int]
"""Positions (after, upto]."""


@dataclass(frozen=True)
class Bounds:
    """How much an epoch may hold: so many records, in so many commits. One commit is always taken whole."""

    rows: int = 1_000_000
    commits: int = 1_000


def epoch_end(brought: pl.DataFrame, after: int, newest: int, bounds: Bounds) -> int:
    """The last position of the epoch that begins after a position; `brought` has (`position`, `accepted`) of those that follow."""
    last = min(newest, after + bounds.commits)
    sums = brought.group_by("position").agg(pl.col("accepted").sum()).sort("position").with_columns(pl.col("accepted").cum_sum())
    over = sums.filter((pl.col("accepted") > bounds.rows) & (pl.col("position") > after + 1))["position"].min()
    return last if over is None else min(last, int(over) - 1)  # type: ignore[arg-type]


def split_ranges(lake: Lake, after: int, upto: int, bounds: Bounds) -> Iterator[Span]:
    """Positions (after, upto] in ranges within bounds."""
    brought = lake.read("control", columns=["accepted"], after=after, upto=upto)
    while after < upto:
        end = epoch_end(brought.filter(pl.col("position") > after), after, upto, bounds)
        yield after, end
        after = end
