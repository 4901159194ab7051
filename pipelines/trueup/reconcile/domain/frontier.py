"""How far each stream is complete, told as positions: when did a stream pass an instant?

A source has *observed* the greatest `started_at` it brought less its lateness, and *closed* the greatest `through` declared
for it. It has passed (x, w) when observed > x + w or closed > x + w', strictly. Both only grow along the log, so "has it
passed at position p" is "is the position at which it passed ≤ p", and that position is one binary search for any number of
instants at once. This is what lets the kernel evaluate every component at its own positions without walking the log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.reconcile.domain.policies import NEVER_POSITION, Policies, Policy, SourceRules
from trueup.reconcile.domain.source_frontier import SourceMarks, source_frontier_us

Positions = NDArray[np.int64]
Instants = NDArray[np.int64]
STREAMS = ("usage", "charge")


@dataclass(frozen=True)
class RunningMax:
    """A running maximum along the log: at `positions[i]` it rose to `values[i]` (µs); both ascend strictly."""

    positions: Positions
    values: Instants

    @classmethod
    def of(cls, frame: pl.DataFrame) -> RunningMax:
        """From rows (position, value) in any order; missing values count for nothing."""
        rising = (
            frame.drop_nulls().group_by("position").agg(pl.col("value").max()).sort("position")
            .with_columns(before=pl.col("value").cum_max().shift(1))
            .filter(pl.col("before").is_null() | (pl.col("value") > pl.col("before")))
        )  # fmt: skip
        return cls(rising["position"].to_numpy(), rising["value"].to_numpy())

    def merge(self, later: RunningMax) -> RunningMax:
        """The maximum with what later positions brought."""
        higher = later.values > (self.values[-1] if len(self.values) else np.iinfo(np.int64).min)
        return RunningMax(np.append(self.positions, later.positions[higher]), np.append(self.values, later.values[higher]))

    def position_passing(self, instants: Instants) -> Positions:
        """The position at which the maximum first exceeded each instant, `NEVER` where it has not."""
        padded = np.append(self.positions, NEVER_POSITION)
        return padded[np.searchsorted(self.values, instants, side="right")]

    def latest(self, position: int) -> int | None:
        """Return the maximum at a position; None before the first value."""
        at = int(np.searchsorted(self.positions, position, side="right"))
        return int(self.values[at - 1]) if at else None


EMPTY_RUNNING_MAX = RunningMax(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Ticks:
    """The ticks of the injected clock: each declared a time (`values`, µs) at a position; positions ascend."""

    positions: Positions
    values: Instants

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Ticks:
        """From rows (position, value) in any order."""
        ordered = frame.drop_nulls().sort("position")
        return cls(ordered["position"].to_numpy(), ordered["value"].to_numpy())

    def merge(self, later: Ticks) -> Ticks:
        """These and those of later positions."""
        return Ticks(np.append(self.positions, later.positions), np.append(self.values, later.values))

    def running_max(self, void: Collection[int]) -> RunningMax:
        """The running maximum of the ticks that are not void."""
        in_force = ~np.isin(self.positions, list(void))
        return RunningMax.of(pl.DataFrame({"position": self.positions[in_force], "value": self.values[in_force]}))


NO_TICKS = Ticks(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Frontier:
    """The frontiers of all sources along the log, under the policies in force.

    `observed` and `closed` are by source name; `ticks` is the injected clock along the log, less what each policy holds void.
    """

    policies: Policies
    observed: Mapping[str, RunningMax] = field(default_factory=dict)
    closed: Mapping[str, RunningMax] = field(default_factory=dict)
    ticks: Ticks = NO_TICKS

    def merge(self, later: Frontier) -> Frontier:
        """These frontiers with what later positions told, under the policies known then."""

        def joined(mine: Mapping[str, RunningMax], theirs: Mapping[str, RunningMax]) -> dict[str, RunningMax]:
            return {name: mine.get(name, EMPTY_RUNNING_MAX).merge(theirs.get(name, EMPTY_RUNNING_MAX)) for name in {*mine, *theirs}}

        observed, closed = joined(self.observed, later.observed), joined(self.closed, later.closed)
        return Frontier(later.policies, observed, closed, self.ticks.merge(later.ticks))

    @cached_property
    def _clocks(self) -> tuple[RunningMax, ...]:
        """The clock under each policy."""
        found = {void: self.ticks.running_max(void) for void in {policy.void_ticks for policy in self.policies.all}}
        return tuple(found[policy.void_ticks] for policy in self.policies.all)

    def passed_at(
        self, charge: NDArray[np.bool_], instants: Instants, wait_us: Instants, closed_wait_us: Instants, policy: Positions
    ) -> Positions:
        """The position at which each row's stream has passed (instant, wait) under its policy, `NEVER` where it has not.

        `charge` says which stream each row asks about. The answer holds for positions under that policy only.
        """
        result = np.full(len(instants), NEVER_POSITION, dtype=np.int64)
        for number, rules in enumerate(self.policies.all):
            for stream in STREAMS:
                wanted = (policy == number) & (charge == (stream == "charge"))
                if wanted.any():
                    at, closed_at = instants[wanted] + wait_us[wanted], instants[wanted] + closed_wait_us[wanted]
                    result[wanted] = self._stream_passed(rules, self._clocks[number], stream, at, closed_at)
        return result

    def passed_until_us(
        self, position: int, policy: int, *, wait_us: int, closed_wait_us: int, stream: str | None = None
    ) -> int | None:
        """The instant (µs) before which every instant was passed at `position` by every source, or by those of one stream.

        None where one of them has told nothing.
        """
        least: int | None = None
        for name, source in self.policies.all[policy].sources.items():
            if stream is not None and source.stream != stream:
                continue
            marks = SourceMarks(
                observed_us=self.observed.get(name, EMPTY_RUNNING_MAX).latest(position),
                closed_us=self.closed.get(name, EMPTY_RUNNING_MAX).latest(position),
                clock_us=self._clocks[policy].latest(position),
            )
            instant = source_frontier_us(
                marks, lateness_us=source.lateness_us, idle_after_us=source.idle_after_us, wait_us=wait_us,
                closed_wait_us=closed_wait_us,
            )  # fmt: skip
            if instant is None:
                return None
            least = instant if least is None else min(least, instant)
        return least

    def _stream_passed(self, policy: Policy, clock: RunningMax, stream: str, at: Instants, closed_at: Instants) -> Positions:
        positions: Positions | None = None
        for name, source in policy.sources.items():
            if source.stream == stream:
                one = np.minimum(
                    self._observed_passed(name, source, clock, at),
                    self.closed.get(name, EMPTY_RUNNING_MAX).position_passing(closed_at),
                )
                positions = one if positions is None else np.maximum(positions, one)
        return np.full(len(at), NEVER_POSITION, dtype=np.int64) if positions is None else positions

    def _observed_passed(self, name: str, source: SourceRules, clock: RunningMax, at: Instants) -> Positions:
        positions = np.full(len(at), NEVER_POSITION, dtype=np.int64)
        if source.lateness_us is not None:
            positions = self.observed.get(name, EMPTY_RUNNING_MAX).position_passing(at + source.lateness_us)
        if source.idle_after_us is not None:
            # A silent source is let go by the clock: it counts as having seen everything up to that long ago.
            positions = np.minimum(positions, clock.position_passing(at + source.idle_after_us))
        return positions
