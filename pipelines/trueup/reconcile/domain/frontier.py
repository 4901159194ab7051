"""Frontiers (watermarks): the position of the log at which a stream passed an instant.

A source has *observed* the greatest `started_at` of its records less its lateness. It has *closed* the greatest `through` that a
closing declared for it. A source has passed an instant x with a wait w when observed > x + w, or when closed > x + w'. The wait w'
of closings may be shorter. A stream has passed when all its sources have. Both values only grow along the log. So a source has
passed x at position p if the position at which it passed x is ≤ p. One binary search finds these positions for many instants at
once. So the kernel can evaluate every component at its own positions without reading the log in order.

A source that reached 100 µs at position 1 and 300 µs at position 2, with a lateness of 50 µs:

>>> import numpy as np
>>> from trueup.policies.policy import Policies, Policy, SourceRules
>>> policies = Policies([Policy(sources={"switch": SourceRules("usage", lateness_us=50)})])
>>> observed = RunningMax(np.array([1, 2]), np.array([100, 300]))
>>> frontier = Frontier(policies, observed={"switch": observed})
>>> def passed_at(instant_us, wait_us):
...     usage, policy = np.array([False]), np.array([0])
...     position = frontier.passed_at(usage, np.array([instant_us]), np.array([wait_us]), np.array([0]), policy)
...     return int(position[0])
>>> passed_at(40, 0)  # 100 > 40 + 50
1
>>> passed_at(50, 0)  # 100 > 50 + 50 is false: only position 2 passes it
2
>>> passed_at(40, 30) == passed_at(40, 209) == 2  # a grace of up to 209 µs is over at position 2
True
>>> passed_at(40, 210) == 2**62  # never, as far as this log goes
True
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION, Policies, Policy, SourceRules
from trueup.reconcile.domain.source_frontier import SourceMarks, source_frontier_us

Positions = NDArray[np.int64]
Instants = NDArray[np.int64]
STREAMS = ("usage", "charge")


@dataclass(frozen=True)
class RunningMax:
    """A running maximum along the log: it rose to `values[i]` (µs) at `positions[i]`. Both arrays are strictly ascending."""

    positions: Positions
    values: Instants

    @classmethod
    def of(cls, frame: pl.DataFrame) -> RunningMax:
        """Build the maximum from rows (`position`, `value`) in any order; rows with a NULL are left out."""
        rising = (
            frame.drop_nulls().group_by("position").agg(pl.col("value").max()).sort("position")
            .with_columns(before=pl.col("value").cum_max().shift(1))
            .filter(pl.col("before").is_null() | (pl.col("value") > pl.col("before")))
        )  # fmt: skip
        return cls(rising["position"].to_numpy(), rising["value"].to_numpy())

    def merge(self, later: RunningMax) -> RunningMax:
        """Return the maximum extended by the values of later positions."""
        higher = later.values > (self.values[-1] if len(self.values) else np.iinfo(np.int64).min)
        return RunningMax(np.append(self.positions, later.positions[higher]), np.append(self.values, later.values[higher]))

    def position_passing(self, instants: Instants) -> Positions:
        """Return the position at which the maximum first exceeded each instant; `NEVER_POSITION` without one."""
        padded = np.append(self.positions, NEVER_POSITION)
        return padded[np.searchsorted(self.values, instants, side="right")]

    def latest(self, position: int) -> int | None:
        """Return the maximum at a position; None before the first value."""
        at = int(np.searchsorted(self.positions, position, side="right"))
        return int(self.values[at - 1]) if at else None


EMPTY_RUNNING_MAX = RunningMax(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Ticks:
    """The ticks of the injected clock: `values[i]` is the time (µs) declared at `positions[i]`; positions are ascending."""

    positions: Positions
    values: Instants

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Ticks:
        """Build the ticks from rows (`position`, `value`) in any order."""
        ordered = frame.drop_nulls().sort("position")
        return cls(ordered["position"].to_numpy(), ordered["value"].to_numpy())

    def merge(self, later: Ticks) -> Ticks:
        """Return these ticks and those of later positions."""
        return Ticks(np.append(self.positions, later.positions), np.append(self.values, later.values))

    def running_max(self, void: Collection[int]) -> RunningMax:
        """Return the running maximum of the ticks that are not void."""
        in_force = ~np.isin(self.positions, list(void))
        return RunningMax.of(pl.DataFrame({"position": self.positions[in_force], "value": self.values[in_force]}))


NO_TICKS = Ticks(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Frontier:
    """The frontiers of all sources along the log, under the policies in force.

    `observed` and `closed` map source names to their values. `ticks` are those of the injected clock; each policy names ticks that
    are void under it.
    """

    policies: Policies
    observed: Mapping[str, RunningMax] = field(default_factory=dict)
    closed: Mapping[str, RunningMax] = field(default_factory=dict)
    ticks: Ticks = NO_TICKS

    def merge(self, later: Frontier) -> Frontier:
        """Return these frontiers extended by later positions, under the policies known then."""

        def merged(earlier: Mapping[str, RunningMax], later_ones: Mapping[str, RunningMax]) -> dict[str, RunningMax]:
            return {
                name: earlier.get(name, EMPTY_RUNNING_MAX).merge(later_ones.get(name, EMPTY_RUNNING_MAX))
                for name in {*earlier, *later_ones}
            }

        observed, closed = merged(self.observed, later.observed), merged(self.closed, later.closed)
        return Frontier(later.policies, observed, closed, self.ticks.merge(later.ticks))

    @cached_property
    def _clocks(self) -> tuple[RunningMax, ...]:
        """The clock under each policy: all ticks except those that are void under it."""
        by_void_ticks = {void: self.ticks.running_max(void) for void in {policy.void_ticks for policy in self.policies.all}}
        return tuple(by_void_ticks[policy.void_ticks] for policy in self.policies.all)

    def passed_at(
        self, charge: NDArray[np.bool_], instants: Instants, wait_us: Instants, closed_wait_us: Instants, policy: Positions
    ) -> Positions:
        """Return the position at which each row's stream has passed (instant, wait), `NEVER_POSITION` where it has not.

        `charge` selects the stream of each row. `wait_us` counts from observed instants, `closed_wait_us` from closings. Each
        answer holds only for positions under the row's own `policy`.
        """
        result = np.full(len(instants), NEVER_POSITION, dtype=np.int64)
        for number, rules in enumerate(self.policies.all):
            for stream in STREAMS:
                selected = (policy == number) & (charge == (stream == "charge"))
                if selected.any():
                    waited, waited_closed = instants[selected] + wait_us[selected], instants[selected] + closed_wait_us[selected]
                    result[selected] = self._find_stream_passing(rules, self._clocks[number], stream, waited, waited_closed)
        return result

    def passed_until_us(
        self, position: int, policy: int, *, wait_us: int, closed_wait_us: int, stream: str | None = None
    ) -> int | None:
        """Return the instant (µs) before which all sources, or all of one stream, have passed every instant at `position`.

        Return None if one of them has no record, no closing and no valid tick.
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

    def _find_stream_passing(self, policy: Policy, clock: RunningMax, stream: str, at: Instants, closed_at: Instants) -> Positions:
        positions: Positions | None = None
        for name, source in policy.sources.items():
            if source.stream == stream:
                of_source = np.minimum(
                    self._find_source_passing(name, source, clock, at),
                    self.closed.get(name, EMPTY_RUNNING_MAX).position_passing(closed_at),
                )
                positions = of_source if positions is None else np.maximum(positions, of_source)
        return np.full(len(at), NEVER_POSITION, dtype=np.int64) if positions is None else positions

    def _find_source_passing(self, name: str, source: SourceRules, clock: RunningMax, at: Instants) -> Positions:
        positions = np.full(len(at), NEVER_POSITION, dtype=np.int64)
        if source.lateness_us is not None:
            positions = self.observed.get(name, EMPTY_RUNNING_MAX).position_passing(at + source.lateness_us)
        if source.idle_after_us is not None:
            # A silent source must not hold others back: the clock alone advances its frontier, `idle_after` behind the present
            # time.
            positions = np.minimum(positions, clock.position_passing(at + source.idle_after_us))
        return positions
